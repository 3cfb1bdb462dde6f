/* SPDX-License-Identifier: MIT */
/*
 * Differences between two sources, as tracemalloc's Snapshot.compare_to() makes them: groups of both, matched by what they
 * say (not by where they are stored), the biggest change first.
 */
#ifndef TM_DIFFERENCES_H
#define TM_DIFFERENCES_H

#include "statistics.h"

struct tm_side {
    const struct tm_model *model;
    const struct tm_total *totals; /* NULL: the model's own */
};

struct tm_difference {
    int64_t size; /* in the new source */
    int64_t size_diff;
    int64_t count;
    int64_t count_diff;
    uint32_t stack;
    uint32_t location;
    bool gone; /* only the old source has it: stack and location are of the old model */
};

struct tm_differences {
    enum tm_group group;
    struct tm_difference *items; /* sorted, as far as was asked for */
    size_t count;
};

struct tm_error *tm_differences_make(const struct tm_side *old, const struct tm_side *fresh, enum tm_group group,
                                     bool cumulative, struct tm_differences *ret);
/* The same with only the first `first` of them in order, which is quicker; 0: all. */
struct tm_error *tm_differences_first(const struct tm_side *old, const struct tm_side *fresh, enum tm_group group,
                                      bool cumulative, size_t first, struct tm_differences *ret);
void tm_differences_free(struct tm_differences *differences);

/* Numbers the locations of several models by content: equal numbers for locations that are the same to this kind of group.
 * lines[i] is an array for model i, to be freed, set only on success. */
struct tm_error *tm_number_lines(const struct tm_model *const *models, size_t count, enum tm_group group,
                                 uint32_t **lines);

#endif
