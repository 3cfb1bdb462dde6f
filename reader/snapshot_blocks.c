/* SPDX-License-Identifier: MIT */
/* Single blocks in a snapshot file, by columns: addresses as differences to the block before, sizes, stacks, domains.
 * Neighbours are alike in each of them, which is what a compressor wants. */
#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

#define AT_ONCE TM_SNAPSHOT_BLOCKS_AT_ONCE

/* ---- writing -------------------------------------------------------------------------------------------------------- */

struct put {
    struct tm_snapshot_writer *writer;
    const struct tm_selection *selection;
    const uint32_t *stacks;
    uint64_t written;
    size_t count;
    struct tm_block blocks[AT_ONCE];
    uint64_t columns[AT_ONCE * TM_SNAPSHOT_BLOCK_SIZE / sizeof(uint64_t)];
};

static struct tm_error *flush(struct put *put)
{
    size_t count = put->count;
    if (!count)
        return NULL;
    uint64_t *addresses = put->columns, *sizes = addresses + count;
    uint32_t *stacks = (uint32_t *)(sizes + count), *domains = stacks + count;
    uint64_t before = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tm_block *block = &put->blocks[i];
        addresses[i] = block->address - before;
        before = block->address;
        sizes[i] = block->size;
        stacks[i] = put->stacks[block->stack];
        domains[i] = block->domain;
    }
    put->count = 0;
    put->written += count;
    return tm_snapshot_put(put->writer, TM_SNAPSHOT_BLOCKS, put->columns, TM_SNAPSHOT_BLOCK_SIZE, count);
}

static struct tm_error *take(void *context, const struct tm_block *blocks, size_t count)
{
    struct put *put = context;
    for (size_t i = 0; i < count; i++) {
        if (!tm_selection_keeps(put->selection, blocks[i].stack, blocks[i].domain))
            continue;
        put->blocks[put->count++] = blocks[i];
        if (put->count == AT_ONCE) {
            struct tm_error *error = flush(put);
            if (error)
                return error;
        }
    }
    return NULL;
}

struct tm_error *tm_snapshot_put_blocks(struct tm_snapshot_writer *writer, struct tm_model *model,
                                        const struct tm_selection *selection, const uint32_t *stacks, uint64_t *ret)
{
    struct put *put = malloc(sizeof(*put));
    if (!put)
        return tm_error_no_memory();
    put->writer = writer;
    put->selection = selection;
    put->stacks = stacks;
    put->written = 0;
    put->count = 0;
    struct tm_error *error = tm_model_each_block(model, take, put);
    if (!error)
        error = flush(put);
    *ret = put->written;
    free(put);
    return error;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static struct tm_error *hand_on(const struct tm_model *model, const void *columns, uint64_t count, tm_blocks_fn fn,
                                void *context)
{
    const struct tm_snapshot_file *file = (const struct tm_snapshot_file *)model->target;
    const uint64_t *addresses = columns, *sizes = addresses + count;
    const uint32_t *stacks = (const uint32_t *)(sizes + count), *domains = stacks + count;
    struct tm_block blocks[256];
    uint64_t address = 0;
    for (uint64_t i = 0; i < count;) {
        size_t filled = 0;
        for (; i < count && filled < sizeof(blocks) / sizeof(blocks[0]); i++) {
            address += addresses[i];
            if (stacks[i] >= model->stack_count)
                return tm_snapshot_damaged(file, "a block has a stack that does not exist");
            blocks[filled++] = (struct tm_block){address, sizes[i], stacks[i], domains[i]};
        }
        struct tm_error *error = fn(context, blocks, filled);
        if (error)
            return error;
    }
    return NULL;
}

struct tm_error *tm_snapshot_each_block(struct tm_model *model, tm_blocks_fn fn, void *context)
{
    const struct tm_snapshot_file *file = (const struct tm_snapshot_file *)model->target;
    if (!(file->identity.flags & TM_SNAPSHOT_HAS_BLOCKS))
        return tm_error_try(
            tm_error_because(tm_error(TM_ERROR_NOT_FOUND, "there are no single blocks in %s", file->target.name),
                             "the snapshot was made of totals only"),
            "tm dump --blocks SOURCE FILE");
    for (uint64_t i = 0; i < file->section_count; i++) {
        const struct tm_snapshot_section *section = &file->sections[i];
        if (section->kind != TM_SNAPSHOT_BLOCKS)
            continue;
        if (tm_target_interrupted(model->target))
            return tm_error(TM_ERROR_INTERRUPTED, "interrupted");
        /* Columns cannot grow at their end as structs do. */
        if (section->element_size != TM_SNAPSHOT_BLOCK_SIZE || section->count > AT_ONCE)
            return tm_snapshot_damaged(file, "its blocks are not of the size that they should have");
        void *columns;
        struct tm_error *error = tm_snapshot_load(file, section, TM_SNAPSHOT_BLOCK_SIZE, &columns);
        if (error)
            return error;
        error = hand_on(model, columns, section->count, fn, context);
        free(columns);
        if (error)
            return error;
    }
    return NULL;
}
