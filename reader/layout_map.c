/* SPDX-License-Identifier: MIT */
/*
 * The address map: directory -> directory -> leaf, one slot for 16 bytes of address space.
 *
 * A walk reads every leaf once, at the speed of memory: most slots are empty, and 8 of them are skipped at a time.  A
 * look-up reads one slot, and if that is empty goes back to the nearest block that starts below.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout_decoder.h"

#define ENTRIES (UINT64_C(1) << TM_DIRECTORY_BITS)
#define LEAF_SLOTS (UINT64_C(1) << TM_LEAF_SLOT_BITS)
#define BATCH 1024

static struct tm_error *interrupted(void)
{
    return tm_error(TM_ERROR_INTERRUPTED, "interrupted");
}

static uint64_t entry_at(const struct layout_chunk *directory, uint64_t index)
{
    uint64_t entry;
    if (index >= directory->count)
        return 0;
    memcpy(&entry, directory->elements + index * directory->stride, sizeof(entry));
    return entry;
}

static bool load_directory(struct layout_chunk *directory, struct tm_model *model, uint64_t address, uint64_t index)
{
    return layout_chunk_load(directory, model, address, TM_CHUNK_DIRECTORY, index, sizeof(uint64_t), ENTRIES,
                             "a directory of the map of blocks");
}

/* ---- single slots --------------------------------------------------------------------------------------------------- */

/* Slots wherever they are asked for: what was loaded last stays, so that going from one to its neighbour is cheap. */
struct cursor {
    struct tm_model *model;
    struct layout_chunk high, low, leaf;
    uint64_t low_number;  /* directory in `low`, + 1 */
    uint64_t leaf_number; /* leaf in `leaf`, + 1 */
};

static void cursor_close(struct cursor *cursor)
{
    layout_chunk_unload(&cursor->high);
    layout_chunk_unload(&cursor->low);
    layout_chunk_unload(&cursor->leaf);
}

/* *slots: those of the leaf that maps the address; NULL if there is none, and then no block starts in *skip bytes around
 * the address (a power of two, aligned). */
static struct tm_error *cursor_leaf(struct cursor *cursor, uint64_t address, const uint64_t **slots, uint64_t *skip)
{
    struct tm_model *model = cursor->model;
    const struct layout *layout = model->private;
    uint64_t leaf_number = address >> TM_LEAF_ADDRESS_BITS, low_number = leaf_number >> TM_DIRECTORY_BITS;
    *slots = NULL;
    *skip = UINT64_C(1) << (TM_LEAF_ADDRESS_BITS + TM_DIRECTORY_BITS);
    if (address >> TM_ADDRESS_BITS)
        return NULL;
    if (!cursor->high.elements && !load_directory(&cursor->high, model, layout->state.map, LAYOUT_ANY_INDEX))
        return interrupted();
    uint64_t at = entry_at(&cursor->high, low_number);
    if (!at)
        return NULL;
    if (cursor->low_number != low_number + 1) {
        if (!load_directory(&cursor->low, model, at, low_number))
            return interrupted();
        cursor->low_number = low_number + 1;
    }
    *skip = UINT64_C(1) << TM_LEAF_ADDRESS_BITS;
    at = entry_at(&cursor->low, leaf_number & (ENTRIES - 1));
    if (!at)
        return NULL;
    if (cursor->leaf_number != leaf_number + 1) {
        if (!layout_chunk_load(&cursor->leaf, model, at, TM_CHUNK_LEAF, leaf_number, sizeof(uint64_t), LEAF_SLOTS,
                               "a part of the map of blocks"))
            return interrupted();
        cursor->leaf_number = leaf_number + 1;
    }
    if (cursor->leaf.stride == sizeof(uint64_t))
        *slots = (const uint64_t *)(const void *)cursor->leaf.elements;
    return NULL;
}

static struct tm_error *cursor_slot(struct cursor *cursor, uint64_t address, uint64_t *ret)
{
    const uint64_t *slots;
    uint64_t skip, index = (address >> TM_GRANULE_BITS) & (LEAF_SLOTS - 1);
    struct tm_error *error = cursor_leaf(cursor, address, &slots, &skip);
    if (!error)
        *ret = slots && index < cursor->leaf.count ? slots[index] : 0;
    return error;
}

/* A slot that says that a block begins: traced, or the code object that stops a search backwards. */
static inline bool starts_block(uint64_t slot)
{
    return slot && !(slot & TM_SLOT_EXTENSION);
}

static inline uint32_t slot_stack(uint64_t slot)
{
    return (uint32_t)(slot >> TM_SLOT_STACK_SHIFT) & TM_SLOT_STACK_MASK;
}

/* Size of a block, given the slot after its own. */
static inline uint64_t slot_size(uint64_t slot, uint64_t next)
{
    uint64_t size = slot & TM_SLOT_SIZE_MASK;
    if (size == TM_SLOT_SIZE_BIG && (next & TM_SLOT_EXTENSION))
        size = next & ~TM_SLOT_EXTENSION;
    return size;
}

/* ---- look-up ------------------------------------------------------------------------------------------------------------ */

struct foreign_search {
    uint64_t address;
    struct tm_block block;
    bool found;
};

static struct tm_error *search_foreign(void *context, uint64_t first, const struct layout_chunk *chunk)
{
    struct foreign_search *search = context;
    (void)first;
    for (uint64_t i = 0; i < chunk->count; i++) {
        struct tm_foreign foreign;
        memcpy(&foreign, chunk->elements + i * chunk->stride, sizeof(foreign));
        if (foreign.stack && foreign.address == search->address) {
            search->block = (struct tm_block){foreign.address, foreign.size, foreign.stack, foreign.domain};
            search->found = true;
        }
    }
    return NULL;
}

static struct tm_error *each_foreign(struct tm_model *model, layout_elements_fn fn, void *context)
{
    const struct layout *layout = model->private;
    return layout_table_each(model, &layout->state.foreign, layout->state.foreign.count, TM_CHUNK_FOREIGN,
                             sizeof(struct tm_foreign), "the blocks of other domains", fn, context);
}

/* The nearest block that begins at or below the address; *found: there is one.  Missing leaves are crossed in one step,
 * so that a search goes through all that lies below only if nothing was ever allocated there. */
static struct tm_error *search_back(struct cursor *cursor, uint64_t address, uint64_t *start, uint64_t *slot,
                                    bool *found)
{
    *found = false;
    for (;;) {
        const uint64_t *slots;
        uint64_t skip;
        if (tm_target_interrupted(cursor->model->target))
            return interrupted();
        struct tm_error *error = cursor_leaf(cursor, address, &slots, &skip);
        if (error)
            return error;
        uint64_t index = (address >> TM_GRANULE_BITS) & (LEAF_SLOTS - 1);
        if (slots && index >= cursor->leaf.count) {
            /* The slots between are missing: whatever lies below them may have ended or not.  The note says so. */
            return NULL;
        }
        for (uint64_t i = slots ? index + 1 : 0; i-- > 0;) {
            if (starts_block(slots[i])) {
                *start = (address & -(UINT64_C(1) << TM_LEAF_ADDRESS_BITS)) + (i << TM_GRANULE_BITS);
                *slot = slots[i];
                *found = true;
                return NULL;
            }
        }
        uint64_t below = address & -skip;
        if (!below)
            return NULL;
        address = below - 1;
    }
}

struct tm_error *layout_find_block(struct tm_model *model, uint64_t address, struct tm_block *ret, bool *found)
{
    struct cursor cursor = {.model = model};
    uint64_t start = 0, slot = 0, next = 0;
    bool begins = false;
    *found = false;
    struct tm_error *error = NULL;
    if (!(address >> TM_ADDRESS_BITS))
        error = search_back(&cursor, address, &start, &slot, &begins);
    if (!error && begins && (slot & TM_SLOT_SIZE_MASK) == TM_SLOT_SIZE_BIG)
        error = cursor_slot(&cursor, start + (UINT64_C(1) << TM_GRANULE_BITS), &next);
    cursor_close(&cursor);
    if (error)
        return error;
    if (begins && slot_stack(slot)) {
        uint64_t size = slot_size(slot, next), offset = address - start;
        if (offset < size || offset == 0) {
            *ret = (struct tm_block){.address = start, .size = size, .stack = slot_stack(slot)};
            *found = true;
            return NULL;
        }
    }
    struct foreign_search search = {.address = address};
    error = each_foreign(model, search_foreign, &search);
    if (!error && search.found) {
        *ret = search.block;
        *found = true;
    }
    return error;
}

/* ---- walk --------------------------------------------------------------------------------------------------------------- */

struct walk {
    struct tm_model *model;
    struct layout *layout;
    tm_blocks_fn fn;
    void *context;
    struct cursor cursor; /* for the extension of a block that begins in a leaf's last slot */
    struct layout_sum sum;
    size_t filled;
    struct tm_block batch[BATCH];
};

static struct tm_error *flush(struct walk *walk)
{
    size_t count = walk->filled;
    walk->filled = 0;
    for (size_t i = 0; i < count; i++) {
        layout_sum_add(&walk->sum, walk->batch[i].size, 1, walk->batch[i].stack);
        if (walk->batch[i].stack >= walk->model->stack_count) {
            walk->batch[i].stack = 0;
            walk->layout->orphans++;
        }
    }
    return count ? walk->fn(walk->context, walk->batch, count) : NULL;
}

static inline struct tm_error *emit(struct walk *walk, uint64_t address, uint64_t size, uint32_t stack, uint32_t domain)
{
    walk->batch[walk->filled++] = (struct tm_block){address, size, stack, domain};
    return walk->filled == BATCH ? flush(walk) : NULL;
}

static struct tm_error *emit_slot(struct walk *walk, uint64_t address, const uint64_t *slots, uint64_t i,
                                  uint64_t count)
{
    uint64_t next = 0;
    if ((slots[i] & TM_SLOT_SIZE_MASK) == TM_SLOT_SIZE_BIG) {
        if (i + 1 < count) {
            next = slots[i + 1];
        } else {
            struct tm_error *error = cursor_slot(&walk->cursor, address + (UINT64_C(1) << TM_GRANULE_BITS), &next);
            if (error)
                return error;
        }
    }
    return emit(walk, address, slot_size(slots[i], next), slot_stack(slots[i]), 0);
}

typedef uint64_t pair __attribute__((vector_size(16), aligned(8), may_alias));

static struct tm_error *walk_slots(struct walk *walk, uint64_t address, const uint64_t *slots, uint64_t count)
{
    uint64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        const pair *at = (const pair *)(const void *)(slots + i);
        pair any = (at[0] | at[1]) | (at[2] | at[3]);
        if (!(any[0] | any[1]))
            continue;
        for (uint64_t j = i; j < i + 8; j++) {
            if (starts_block(slots[j]) && slot_stack(slots[j])) {
                struct tm_error *error = emit_slot(walk, address + (j << TM_GRANULE_BITS), slots, j, count);
                if (error)
                    return error;
            }
        }
    }
    for (; i < count; i++) {
        if (starts_block(slots[i]) && slot_stack(slots[i])) {
            struct tm_error *error = emit_slot(walk, address + (i << TM_GRANULE_BITS), slots, i, count);
            if (error)
                return error;
        }
    }
    return NULL;
}

/* What lies behind a hole in a leaf is still there: go on at the next page that can be read. */
static struct tm_error *walk_rest(struct walk *walk, const struct layout_chunk *leaf, uint64_t number)
{
    struct tm_target *target = walk->model->target;
    uint64_t data = leaf->head.self + leaf->head.data_offset, size = LEAF_SLOTS * sizeof(uint64_t);
    struct tm_bytes bytes = {0};
    struct tm_error *error = NULL;
    for (uint64_t at = leaf->bytes.size; at < size && !error;) {
        struct tm_fault fault = tm_bytes_load(&bytes, target, data + at, size - at);
        if (fault.outcome == TM_READ_INTERRUPTED)
            error = interrupted();
        else
            error = walk_slots(walk, (number << TM_LEAF_ADDRESS_BITS) + ((at / 8) << TM_GRANULE_BITS),
                               (const uint64_t *)(const void *)bytes.data, bytes.size / 8);
        at = ((data + at + bytes.size) & -UINT64_C(4096)) + 4096 - data;
    }
    tm_bytes_unload(&bytes);
    return error;
}

static struct tm_error *walk_leaf(struct walk *walk, struct layout_chunk *leaf, uint64_t address, uint64_t number)
{
    if (tm_target_interrupted(walk->model->target) ||
        !layout_chunk_load(leaf, walk->model, address, TM_CHUNK_LEAF, number, sizeof(uint64_t), LEAF_SLOTS,
                           "a part of the map of blocks"))
        return interrupted();
    if (!leaf->count)
        return NULL;
    walk->layout->leaves++;
    if (leaf->stride != sizeof(uint64_t) || ((uintptr_t)leaf->elements & 7)) {
        tm_model_incomplete(walk->model, "a part of the map of blocks at 0x%" PRIx64 " is damaged: its slots lie askew",
                            address);
        return NULL;
    }
    const uint64_t *slots = (const uint64_t *)(const void *)leaf->elements;
    struct tm_error *error = walk_slots(walk, number << TM_LEAF_ADDRESS_BITS, slots, leaf->count);
    if (!error && leaf->count < LEAF_SLOTS && leaf->head.capacity >= LEAF_SLOTS)
        error = walk_rest(walk, leaf, number);
    return error;
}

static struct tm_error *walk_map(struct walk *walk)
{
    struct layout_chunk high = {0}, low = {0}, leaf = {0};
    struct tm_error *error = NULL;
    if (walk->layout->state.map && !load_directory(&high, walk->model, walk->layout->state.map, LAYOUT_ANY_INDEX))
        error = interrupted();
    for (uint64_t i = 0; i < high.count && !error; i++) {
        uint64_t directory = entry_at(&high, i);
        if (!directory)
            continue;
        if (!load_directory(&low, walk->model, directory, i)) {
            error = interrupted();
            break;
        }
        for (uint64_t j = 0; j < low.count && !error; j++) {
            uint64_t address = entry_at(&low, j);
            if (address)
                error = walk_leaf(walk, &leaf, address, i << TM_DIRECTORY_BITS | j);
        }
    }
    layout_chunk_unload(&high);
    layout_chunk_unload(&low);
    layout_chunk_unload(&leaf);
    return error;
}

static struct tm_error *walk_foreign(void *context, uint64_t first, const struct layout_chunk *chunk)
{
    struct walk *walk = context;
    struct tm_error *error = NULL;
    (void)first;
    for (uint64_t i = 0; i < chunk->count && !error; i++) {
        struct tm_foreign foreign;
        memcpy(&foreign, chunk->elements + i * chunk->stride, sizeof(foreign));
        if (foreign.stack)
            error = emit(walk, foreign.address, foreign.size, foreign.stack, foreign.domain);
    }
    return error;
}

struct tm_error *layout_each_block(struct tm_model *model, tm_blocks_fn fn, void *context)
{
    struct walk *walk = malloc(sizeof(*walk));
    if (!walk)
        return tm_error_no_memory();
    *walk = (struct walk){.model = model, .layout = model->private, .fn = fn, .context = context};
    walk->cursor.model = model;
    walk->layout->leaves = 0;
    walk->layout->orphans = 0;
    struct tm_error *error = walk_map(walk);
    if (!error)
        error = each_foreign(model, walk_foreign, walk);
    if (!error)
        error = flush(walk);
    if (!error)
        layout_doubt_walk(model, &walk->sum);
    cursor_close(&walk->cursor);
    free(walk);
    return error;
}

struct foreign {
    const struct tm_model *model;
    tm_foreign_fn fn;
    void *context;
};

static struct tm_error *hand_on_foreign(void *context, uint64_t first, const struct layout_chunk *chunk)
{
    const struct foreign *foreign = context;
    struct tm_error *error = NULL;
    (void)first;
    for (uint64_t i = 0; i < chunk->count && !error; i++) {
        struct tm_foreign block;
        memcpy(&block, chunk->elements + i * chunk->stride, sizeof(block));
        uint32_t stack = block.stack < foreign->model->stack_count ? block.stack : 0;
        const struct tm_foreign_total total = {block.domain, stack, {(int64_t)block.size, 1}};
        if (block.stack && block.domain)
            error = foreign->fn(foreign->context, &total, 1);
    }
    return error;
}

struct tm_error *layout_each_foreign(struct tm_model *model, tm_foreign_fn fn, void *context)
{
    struct foreign foreign = {model, fn, context};
    return each_foreign(model, hand_on_foreign, &foreign);
}

/* After a walk: what the walk itself could not say in a note. */
struct tm_error *layout_check(struct tm_model *model, tm_finding_fn fn, void *context)
{
    const struct layout *layout = model->private;
    char text[160];
    if (layout->leaves != layout->state.leaf_count) {
        snprintf(text, sizeof(text), "the map of blocks has %" PRIu64 " leaves, but should have %" PRIu32,
                 layout->leaves, layout->state.leaf_count);
        fn(context, text);
    }
    if (layout->orphans) {
        snprintf(text, sizeof(text), "%" PRIu64 " blocks belong to stacks that do not exist", layout->orphans);
        fn(context, text);
    }
    return NULL;
}
