/* SPDX-License-Identifier: MIT */
/* How blocks are spread over sizes: 0, 1 to 16 bytes, to 32, to 64, ... each class twice as wide as the one before. */
#ifndef TM_SIZE_CLASSES_H
#define TM_SIZE_CLASSES_H

#include "statistics.h"

#define TM_SIZE_CLASSES 62

struct tm_size_classes {
    size_t groups;           /* 1, or one for each item of the statistics */
    struct tm_total *totals; /* [group * TM_SIZE_CLASSES + class] */
};

static inline uint32_t tm_size_class(uint64_t size)
{
    if (size <= 16)
        return size > 0;
    return 64 - (uint32_t)__builtin_clzll(size - 1) - 3; /* 17 to 32: 2 */
}

/* The biggest size of a class; UINT64_MAX of the last. */
static inline uint64_t tm_size_class_limit(uint32_t class)
{
    return !class ? 0 : class == TM_SIZE_CLASSES - 1 ? UINT64_MAX : UINT64_C(8) << class;
}

struct tm_selection;

/* Walks all blocks that the selection (NULL: all) keeps and that have at least min_size bytes.  statistics: to count each
 * of their groups by itself, and leave out what is in none; NULL: all together. */
struct tm_error *tm_size_classes_make(struct tm_model *model, const struct tm_selection *selection, uint64_t min_size,
                                      const struct tm_statistics *statistics, struct tm_size_classes *ret);
void tm_size_classes_free(struct tm_size_classes *classes);

#endif
