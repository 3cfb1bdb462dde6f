/* SPDX-License-Identifier: MIT */
/*
 * Filters as tracemalloc's Filter and DomainFilter: a pattern of file names and perhaps a line, a domain, or both.  A block
 * stays if any inclusive filter (of those there are) hits it, and no exclusive one does.
 */
#ifndef TM_FILTERS_H
#define TM_FILTERS_H

#include "model.h"

/* One Filter or DomainFilter.  Whoever knows how names are matched says which locations match. */
struct tm_filter {
    bool inclusive;
    bool all_frames; /* any frame of the traceback, not only the newest */
    bool by_domain;
    uint32_t domain;
    const uint8_t *matches; /* per location of the model; NULL: every one matches */
};

/* Per location: is it in a file whose name matches, and on that line (< 0: on any)?  *ret is to be freed. */
struct tm_error *tm_filter_locations(const struct tm_model *model, struct tm_string_ref pattern, int64_t lineno,
                                     uint8_t **ret);
/* Per stack: does the filter hit its traceback?  Domains are not looked at.  *ret is to be freed; NULL: it hits all. */
struct tm_error *tm_filter_stacks(const struct tm_model *model, const struct tm_filter *filter, uint8_t **ret);

#endif
