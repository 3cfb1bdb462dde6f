/* SPDX-License-Identifier: MIT */
/*
 * Statistics as tracemalloc makes them: live blocks grouped by line, file, function or traceback, biggest first.
 *
 * They are made from totals per stack, never from single blocks.  A traceback is the newest frame_limit frames of a stack;
 * stacks whose tracebacks are alike are one.
 */
#ifndef TM_STATISTICS_H
#define TM_STATISTICS_H

#include "model.h"

enum tm_group {
    TM_GROUP_LINENO,
    TM_GROUP_FILENAME,
    TM_GROUP_FUNCTION,
    TM_GROUP_TRACEBACK,
};
/* "lineno", ... in the order of the enum; NULL ends */
extern const char *const tm_group_names[];

struct tm_statistic {
    int64_t size;
    int64_t count;
    uint32_t stack;    /* one of the group's */
    uint32_t location; /* of its newest frame; of the frame that the group is, if cumulative */
};

struct tm_statistics {
    enum tm_group group;
    struct tm_statistic *items; /* sorted */
    size_t count;
    size_t groups;      /* how many there are in all; items may be the first of them only */
    int64_t rest_size;  /* of the groups that are not among items */
    int64_t rest_count; /* blocks */
};

/* As a limit: all groups, in any order. */
#define TM_ANY_ORDER SIZE_MAX

/* totals: per stack of the model, NULL: the model's own.  limit 0: all.  cumulative: a block counts for every frame of its
 * traceback, as in tracemalloc; not for TM_GROUP_TRACEBACK. */
struct tm_error *tm_statistics_make(const struct tm_model *model, const struct tm_total *totals, enum tm_group group,
                                    bool cumulative, size_t limit, struct tm_statistics *ret);
/* Per stack of the model: index of its group among the items, UINT32_MAX if it is not there.  Not for cumulative ones.
 * *ret is to be freed. */
struct tm_error *tm_statistics_members(const struct tm_model *model, const struct tm_statistics *statistics,
                                       uint32_t **ret);
void tm_statistics_free(struct tm_statistics *statistics);

/* Walks the frames of a stack's traceback, newest first, at most frame_limit:
 *     for (uint32_t left = model->frame_limit; left && stack; left--, stack = model->stacks[stack].parent) */
uint32_t tm_traceback_length(const struct tm_model *model, uint32_t stack);

#endif
