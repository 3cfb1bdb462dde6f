/* SPDX-License-Identifier: MIT */
/*
 * Live totals, and whether they can be true: bytes are kept twice, numbers of blocks in steps of a prime.  So a wrong bit
 * shows without a look at single blocks; and after a walk over them, what the walk found must be what the totals have.
 *
 * Several stores make a change, so a dead process may have been caught between them; that is labelled too.  A process that
 * runs changes between two reads, and is not doubted for that.
 */
#include <inttypes.h>
#include <string.h>

#include "layout_decoder.h"

struct sums {
    struct tm_model *model;
    uint64_t damaged; /* numbers that are no multiple of the step */
};

static int64_t count_of(struct sums *sums, int64_t value)
{
    int64_t step = ((const struct layout *)sums->model->private)->step;
    sums->damaged += value % step != 0;
    return value / step;
}

static struct tm_error *add_totals(void *context, uint64_t first, const struct layout_chunk *chunk)
{
    struct sums *sums = context;
    struct tm_model *model = sums->model;
    /* A chunk of stacks may be missing where its totals are there: what lives is still counted, as unknown. */
    struct tm_error *error = layout_reserve_stacks(model, first + chunk->count);
    if (error)
        return error;
    struct tm_total *into = model->totals + first;
    for (uint64_t i = 0; i < chunk->count; i++) {
        struct tm_totals totals;
        memcpy(&totals, chunk->elements + i * chunk->stride, sizeof(totals));
        into[i].bytes = tm_sum(into[i].bytes, totals.bytes);
        into[i].blocks = tm_sum(into[i].blocks, count_of(sums, totals.blocks));
    }
    return NULL;
}

static void doubt_totals(struct tm_model *model)
{
    const struct layout *layout = model->private;
    uint64_t wrong = 0, room = ((uint64_t)layout->state.leaf_count << TM_LEAF_SLOT_BITS) + layout->state.foreign.count;
    int64_t bytes = 0, blocks = 0;
    if (model->target->live || model->incomplete_count)
        return;
    for (uint32_t i = 0; i < model->stack_count; i++) {
        const struct tm_total *total = &model->totals[i];
        wrong += total->bytes < 0 || total->blocks < 0 || (total->bytes && !total->blocks);
        bytes = tm_sum(bytes, total->bytes);
        blocks = tm_sum(blocks, total->blocks);
    }
    if (wrong || bytes != (int64_t)model->size || (uint64_t)blocks > room)
        tm_model_incomplete(model,
                            "the totals do not add up: the stacks have %" PRId64 " bytes in %" PRId64
                            " blocks, but %" PRIu64 " bytes are said to live; the process ended in the middle of a "
                            "change, or the table is damaged",
                            bytes, blocks, model->size);
}

struct tm_error *layout_load_totals(struct tm_model *model, uint64_t stack_count)
{
    struct layout *layout = model->private;
    struct sums sums = {.model = model};
    uint32_t shards = layout->state.shard_count;
    if (shards > TM_MAX_SHARDS) {
        tm_model_incomplete(model, "the table's state is damaged: it claims %" PRIu32 " shards", shards);
        shards = TM_MAX_SHARDS;
    }
    if (!shards)
        tm_model_incomplete(model, "the table's state is damaged: it has no totals");
    uint64_t live = 0;
    for (uint32_t i = 0; i < shards; i++) {
        const struct tm_shard *shard = &layout->state.shards[i];
        live += (uint64_t)shard->live_bytes;
        if (shard->peak > model->peak)
            model->peak = shard->peak;
        struct tm_error *error = layout_table_each(model, &shard->totals, stack_count, TM_CHUNK_TOTALS,
                                                   sizeof(struct tm_totals), "the totals", add_totals, &sums);
        if (error)
            return error;
    }
    /* A core may catch the instant between a free() and the malloc() whose shard is not told yet. */
    model->size = (int64_t)live < 0 ? 0 : live;
    if (model->peak < model->size)
        model->peak = model->size;
    int64_t blocks = 0;
    for (uint32_t i = 0; i < model->stack_count; i++)
        blocks = tm_sum(blocks, model->totals[i].blocks);
    model->count = blocks < 0 ? 0 : blocks;
    int64_t lost = count_of(&sums, (int64_t)layout->state.lost);
    model->lost = lost < 0 ? 0 : lost;
    if (sums.damaged)
        tm_model_incomplete(model, "%" PRIu64 " numbers of blocks are damaged: they are no multiples of %" PRId64,
                            sums.damaged, layout->step);
    doubt_totals(model);
    return NULL;
}

void layout_doubt_walk(struct tm_model *model, const struct layout_sum *walked)
{
    struct layout *layout = model->private;
    struct layout_sum told = {0};
    if (model->target->live || model->incomplete_count || layout->doubted)
        return;
    for (uint32_t i = 0; i < model->stack_count; i++)
        layout_sum_add(&told, (uint64_t)model->totals[i].bytes, (uint64_t)model->totals[i].blocks, i);
    if (told.size == walked->size && told.count == walked->count && told.mark == walked->mark)
        return;
    layout->doubted = true;
    tm_model_incomplete(model,
                        "totals and blocks do not add up: there are %" PRIu64 " bytes in %" PRIu64
                        " blocks, but the stacks have %" PRIu64 " in %" PRIu64
                        "%s; the process ended in the middle of a change, or the table is damaged",
                        walked->size, walked->count, told.size, told.count,
                        told.size == walked->size && told.count == walked->count ? ", and other stacks have them" : "");
}
