/* SPDX-License-Identifier: MIT */
/*
 * Live blocks held still: what a tracemalloc.Snapshot is made of.  A capture has a model and a list of blocks; its totals
 * per stack are those of its blocks, so that statistics.h and differences.h answer for it as for any other source.
 *
 * tm_capture_self() is how a process captures itself: its stacks, locations and names are read in place, by the same
 * decoder that reads cores.
 */
#ifndef TM_CAPTURE_H
#define TM_CAPTURE_H

#include "filters.h"

struct tm_captured {
    uint64_t size;
    uint32_t stack;
    uint32_t domain;
};

struct tm_capture {
    struct tm_model *model;
    struct tm_target *target; /* of the model; NULL if it has none */
    bool borrowed;            /* model and target belong to another capture, which lives longer */
    struct tm_captured *blocks;
    size_t count;
    size_t room;
    struct tm_total *totals; /* per stack of the model */
};

typedef void (*tm_visit_fn)(void *context, uint64_t address, uint64_t size, uint32_t stack, uint32_t domain);

/* root: address of the running process's own struct tm_root.  walk: shows all live blocks; the runtime does that itself,
 * because it knows which pages of the map were never written and need not be made resident.  The caller sees to it that
 * nobody starts, stops or clears meanwhile.  Names are not copied: they stay in the table for as long as the process
 * lives. */
struct tm_error *tm_capture_self(uint64_t root, void (*walk)(tm_visit_fn visit, void *context),
                                 struct tm_capture **ret);
/* An empty capture over a model, which it takes over on success. */
struct tm_error *tm_capture_create(struct tm_model *model, struct tm_capture **ret);
struct tm_error *tm_capture_add(struct tm_capture *capture, struct tm_captured block);
/* After the last block: makes the totals. */
struct tm_error *tm_capture_finish(struct tm_capture *capture);
void tm_capture_destroy(struct tm_capture *capture);

/* ---- filters -------------------------------------------------------------------------------------------------------- */

/* As Snapshot.filter_traces(): a block stays if any inclusive filter (of those there are) hits it and no exclusive one
 * does.  *ret borrows the model. */
struct tm_error *tm_capture_filter(const struct tm_capture *capture, const struct tm_filter *filters, size_t count,
                                   struct tm_capture **ret);
/* The same, telling for each block whether it stays; keep has room for all of them. */
struct tm_error *tm_capture_select(const struct tm_capture *capture, const struct tm_filter *filters, size_t count,
                                   uint8_t *keep);

#endif
