/* SPDX-License-Identifier: MIT */
/* Chunks of the table.  Every byte comes from the target and may be wrong: nothing is believed that the head of the chunk
 * does not confirm, and no more is read than the target has. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout_decoder.h"

static const char *head_damage(const struct tm_chunk *head, uint64_t address, enum tm_chunk_kind kind, uint64_t index)
{
    static const struct tm_chunk zeros;
    if (!memcmp(head, &zeros, sizeof(zeros)))
        return "reads as zeros, so it was not saved";
    if (head->magic != TM_CHUNK_MAGIC)
        return "is damaged: it does not begin as a chunk";
    if (head->self != address)
        return "is damaged: it says that it lies elsewhere";
    if (head->kind != kind || (index != LAYOUT_ANY_INDEX && head->index != index))
        return "is damaged: it says that it is another part";
    return NULL;
}

/* Nothing may be off by one element: numbers would go to the wrong stacks without a sign of it. */
static bool size_is_sane(const struct tm_chunk *head, uint32_t element_size)
{
    uint64_t bytes, data_offset = head->kind == TM_CHUNK_LEAF ? TM_LEAF_DATA_OFFSET : sizeof(*head);
    return head->data_offset == data_offset && head->element_size == element_size &&
           !__builtin_mul_overflow(head->capacity, head->element_size, &bytes) && head->bytes >= head->data_offset &&
           bytes <= head->bytes - head->data_offset;
}

/* Elements that may be missing before the next one that is there.  A few hostile bytes could otherwise claim a table that
 * takes gigabytes to represent. */
#define MAX_GAP UINT64_C(16000000)

bool layout_chunk_load(struct layout_chunk *chunk, struct tm_model *model, uint64_t address, enum tm_chunk_kind kind,
                       uint64_t index, uint32_t element_size, uint64_t wanted, const char *what)
{
    struct tm_target *target = model->target;
    chunk->elements = NULL;
    chunk->count = 0;
    struct tm_fault fault = tm_target_peek(target, address, &chunk->head, sizeof(chunk->head));
    if (fault.outcome == TM_READ_INTERRUPTED)
        return false;
    if (fault.outcome != TM_READ_OK) {
        tm_model_incomplete(model, "%s at 0x%" PRIx64 " %s", what, address, tm_outcome_text(fault.outcome));
        return true;
    }
    const char *damage = head_damage(&chunk->head, address, kind, index);
    if (!damage && !size_is_sane(&chunk->head, element_size))
        damage = "is damaged: its size makes no sense";
    if (damage) {
        tm_model_incomplete(model, "%s at 0x%" PRIx64 " %s", what, address, damage);
        return true;
    }
    chunk->stride = chunk->head.element_size;
    if (wanted > chunk->head.capacity) {
        tm_model_incomplete(model, "%s at 0x%" PRIx64 " is damaged: it has less room than it should", what, address);
        wanted = chunk->head.capacity;
    }
    uint64_t start = address + chunk->head.data_offset;
    fault = tm_bytes_load(&chunk->bytes, target, start, wanted * chunk->stride);
    if (fault.outcome == TM_READ_INTERRUPTED)
        return false;
    chunk->elements = chunk->bytes.data;
    chunk->count = chunk->bytes.size / chunk->stride;
    if (chunk->count < wanted)
        tm_model_incomplete(model, "%s at 0x%" PRIx64 ": from 0x%" PRIx64 " on it %s", what, address, fault.address,
                            tm_outcome_text(fault.outcome));
    return true;
}

void layout_chunk_unload(struct layout_chunk *chunk)
{
    tm_bytes_unload(&chunk->bytes);
}

static struct tm_error *interrupted(void)
{
    return tm_error(TM_ERROR_INTERRUPTED, "interrupted");
}

/* Whether a part of a table has the room and the elements that the table's description says.  In a dead process at most one
 * element is written and not yet counted; strings count units, several at a time. */
static bool fits_table(const struct tm_model *model, const struct tm_chunk *head, const struct tm_table *table,
                       uint64_t wanted)
{
    if (head->capacity != UINT64_C(1) << table->chunk_shift)
        return false;
    const struct layout *layout = model->private;
    bool counted = layout->has_checks && (head->kind == TM_CHUNK_STACKS || head->kind == TM_CHUNK_LOCATIONS);
    return !counted || model->target->live || head->used == wanted || head->used == wanted + 1;
}

struct tm_error *layout_table_each(struct tm_model *model, const struct tm_table *table, uint64_t count,
                                   enum tm_chunk_kind kind, uint32_t element_size, const char *what,
                                   layout_elements_fn fn, void *context)
{
    if (!table->directory || !count)
        return NULL;
    char name[64];
    snprintf(name, sizeof(name), "the directory of %s", what);
    if (table->chunk_shift > 40 || table->kind != kind || table->element_size < element_size) {
        tm_model_incomplete(model, "the table of %s is damaged: its description makes no sense", what);
        return NULL;
    }
    uint64_t in_chunk = UINT64_C(1) << table->chunk_shift;
    uint64_t chunks = ((count - 1) >> table->chunk_shift) + 1;
    if (chunks > table->directory_capacity) {
        tm_model_incomplete(model, "the table of %s is damaged: it claims more elements than it has room for", what);
        chunks = table->directory_capacity;
    }
    struct layout_chunk directory = {0}, chunk = {0};
    struct tm_error *error = NULL;
    uint64_t loaded = 0;
    if (!layout_chunk_load(&directory, model, table->directory, TM_CHUNK_DIRECTORY, LAYOUT_ANY_INDEX, sizeof(uint64_t),
                           chunks, name))
        error = interrupted();
    snprintf(name, sizeof(name), "a part of %s", what);
    for (uint64_t i = 0; i < directory.count && !error; i++) {
        uint64_t address, first = i << table->chunk_shift;
        memcpy(&address, directory.elements + i * directory.stride, sizeof(address));
        if (!address) {
            /* Totals of stacks that a shard never met have no chunk; of an append-only table, all have. */
            if (kind != TM_CHUNK_TOTALS)
                tm_model_incomplete(model, "a part of %s is missing: its directory has no entry %" PRIu64, what, i);
            continue;
        }
        if (first > MAX_GAP && first / 16 > loaded) {
            tm_model_incomplete(model, "most of %s is missing", what);
            break;
        }
        uint64_t wanted = count - first < in_chunk ? count - first : in_chunk;
        if (!layout_chunk_load(&chunk, model, address, kind, i, table->element_size, wanted, name))
            error = interrupted();
        else if (chunk.count && !fits_table(model, &chunk.head, table, wanted))
            tm_model_incomplete(model, "%s at 0x%" PRIx64 " is damaged: it has not as many elements as it should", name,
                                address);
        if (!error && chunk.count)
            error = fn(context, first, &chunk);
        loaded += chunk.count;
    }
    layout_chunk_unload(&chunk);
    layout_chunk_unload(&directory);
    return error;
}
