/* SPDX-License-Identifier: MIT */
/* What verbs ask of a table, all of it: what opens must answer or refuse, and never name what is not there. */
#ifndef TM_FUZZ_ASK_H
#define TM_FUZZ_ASK_H

#include <stdlib.h>
#include <string.h>

#include "reader/statistics.h"

static inline struct tm_error *ask_of_blocks(void *context, const struct tm_block *blocks, size_t count)
{
    const struct tm_model *model = context;
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].stack >= model->stack_count)
            abort();
    }
    return NULL;
}

static inline void ask_of_finding(void *context, const char *finding)
{
    *(size_t *)context += strlen(finding);
}

/* `address`: one that may be inside a block. */
static inline void ask_everything(struct tm_model *model, uint64_t address)
{
    struct tm_block block;
    bool found;
    size_t length = 0;
    for (uint32_t i = 1; i < model->stack_count; i++) {
        if (model->stacks[i].parent >= i || model->stacks[i].location >= model->location_count)
            abort();
    }
    tm_error_destroy(tm_model_find_block(model, address, &block, &found));
    tm_error_destroy(tm_model_each_block(model, ask_of_blocks, model));
    if (model->ops->check)
        tm_error_destroy(model->ops->check(model, ask_of_finding, &length));
    for (int i = 0; i < 7; i++) {
        struct tm_statistics statistics;
        struct tm_error *error = tm_statistics_make(model, NULL, i % 4, i > 3, 10, &statistics);
        if (!error)
            tm_statistics_free(&statistics);
        tm_error_destroy(error);
    }
}

#endif
