/* SPDX-License-Identifier: MIT */
/* What the decoder of the standard library's tracemalloc keeps behind a model. */
#ifndef TM_STDLIB_MODEL_H
#define TM_STDLIB_MODEL_H

#include "stdlib_find.h"
#include "stdlib_stacks.h"

struct tm_stdlib_domain {
    struct tm_stdlib_table table;
    uint32_t domain;
};

struct tm_stdlib {
    struct tm_target *target; /* of its own, to be destroyed; or NULL */
    struct tm_stdlib_memory memory;
    struct tm_stdlib_state state;
    struct tm_stdlib_stacks stacks;
    struct tm_stdlib_domain *domains; /* [0] is the default domain: the traces */
    size_t domain_count;

    /* The proof */
    uint64_t expected; /* entries that the tables say they have */
    uint64_t walked;   /* entries that are there */
    bool rebuilt;      /* from a rehash in progress */
    bool guessed;      /* which includes a chain that nothing leads to */
    bool proven;       /* what is there is all, but for a trace that was being added or removed */
    bool traced_known;
    uint64_t traced_memory;
};

/* Traces of all tables, or of those that have foreign ones. */
typedef struct tm_error *(*tm_stdlib_traces_fn)(struct tm_model *model, const struct tm_stdlib_trace *traces,
                                                unsigned count, void *context);
/* What a walk over all tables found beside the traces. */
struct tm_stdlib_walked {
    uint64_t walked;
    uint64_t unreadable;
    uint64_t torn;
    struct tm_fault fault;
    bool endless;
};
struct tm_error *tm_stdlib_each_trace(struct tm_model *model, bool foreign, tm_stdlib_traces_fn fn, void *context,
                                      struct tm_stdlib_walked *ret);

/* stdlib_blocks.c */
struct tm_error *tm_stdlib_each_block(struct tm_model *model, tm_blocks_fn fn, void *context);
struct tm_error *tm_stdlib_each_foreign(struct tm_model *model, tm_foreign_fn fn, void *context);
struct tm_error *tm_stdlib_find_block(struct tm_model *model, uint64_t address, struct tm_block *ret, bool *found);
struct tm_error *tm_stdlib_check(struct tm_model *model, tm_finding_fn fn, void *context);

#endif
