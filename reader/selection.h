/* SPDX-License-Identifier: MIT */
/*
 * What filters leave of a source: totals per stack, from which statistics are made as from the model's own, and an answer
 * for each single block.  Blocks are not walked for it: only those of foreign domains, and only if a filter names a domain.
 */
#ifndef TM_SELECTION_H
#define TM_SELECTION_H

#include "filters.h"

struct tm_selection {
    const struct tm_model *model;
    struct tm_total *totals; /* per stack */
    int64_t size;
    int64_t count;
    uint32_t *domains; /* those that filters name */
    size_t domain_count;
    uint8_t **keep; /* per stack: for each of these domains, and at [domain_count] for all others */
};

struct tm_error *tm_selection_make(struct tm_model *model, const struct tm_filter *filters, size_t count,
                                   struct tm_selection *ret);
void tm_selection_free(struct tm_selection *selection);

/* stack: of the model.  NULL: nothing is left out. */
static inline bool tm_selection_keeps(const struct tm_selection *selection, uint32_t stack, uint32_t domain)
{
    if (!selection)
        return true;
    size_t i = 0;
    while (i < selection->domain_count && selection->domains[i] != domain)
        i++;
    return selection->keep[i][stack];
}

#endif
