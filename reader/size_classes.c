/* SPDX-License-Identifier: MIT */
#include "size_classes.h"

#include <stdlib.h>

#include "selection.h"

struct counter {
    const struct tm_selection *selection;
    uint64_t min_size;
    const uint32_t *members; /* NULL: everything is in group 0 */
    struct tm_total *totals;
};

static struct tm_error *take(void *context, const struct tm_block *blocks, size_t count)
{
    const struct counter *counter = context;
    for (size_t i = 0; i < count; i++) {
        const struct tm_block *block = &blocks[i];
        uint32_t group = counter->members ? counter->members[block->stack] : 0;
        if (block->size < counter->min_size || group == UINT32_MAX ||
            !tm_selection_keeps(counter->selection, block->stack, block->domain))
            continue;
        struct tm_total *total = &counter->totals[(size_t)group * TM_SIZE_CLASSES + tm_size_class(block->size)];
        total->bytes = tm_sum(total->bytes, (int64_t)block->size);
        total->blocks++;
    }
    return NULL;
}

struct tm_error *tm_size_classes_make(struct tm_model *model, const struct tm_selection *selection, uint64_t min_size,
                                      const struct tm_statistics *statistics, struct tm_size_classes *ret)
{
    uint32_t *members = NULL;
    struct tm_error *error = statistics ? tm_statistics_members(model, statistics, &members) : NULL;
    *ret = (struct tm_size_classes){.groups = statistics ? statistics->count : 1};
    if (!error) {
        ret->totals = calloc(ret->groups + 1, TM_SIZE_CLASSES * sizeof(*ret->totals));
        error = ret->totals ? NULL : tm_error_no_memory();
    }
    struct counter counter = {selection, min_size, members, ret->totals};
    if (!error)
        error = tm_model_each_block(model, take, &counter);
    free(members);
    if (error)
        tm_size_classes_free(ret);
    return error;
}

void tm_size_classes_free(struct tm_size_classes *classes)
{
    free(classes->totals);
    *classes = (struct tm_size_classes){0};
}
