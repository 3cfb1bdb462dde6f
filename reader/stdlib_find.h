/* SPDX-License-Identifier: MIT */
/* Finding tracemalloc's variables in a target, without symbols, and proving that it is them. */
#ifndef TM_STDLIB_FIND_H
#define TM_STDLIB_FIND_H

#include "stdlib_image.h"
#include "stdlib_table.h"

struct tm_stdlib_state {
    const struct tm_stdlib_family *family;
    struct tm_stdlib_image image; /* that holds the interpreter */
    uint64_t slot;                /* address of the variable `traces` */
    struct tm_stdlib_table traces;
    struct tm_stdlib_table domains;
    bool has_domains;
    uint64_t traced_at;  /* address of traced_memory; 0: unknown (yet) */
    uint64_t config_at;  /* address of {initialized, tracing, max_nframe}; 0: unknown */
    bool tracing;        /* from the config; true if that is unknown */
    uint32_t max_nframe; /* 0: unknown */
    bool locked;         /* tables_lock was held */

    char python[64];  /* "3.11.7"; "" if unknown */
    uint32_t version; /* PY_VERSION_HEX; 0 if unknown */
    bool free_threaded;
};

/* *found: there is a table.  When there is none, ret->python may still tell that there is an interpreter. */
struct tm_error *tm_stdlib_find(struct tm_stdlib_memory *memory, struct tm_stdlib_state *ret, bool *found);

/* traced_memory and its peak, to be held against the sum of all traces.  Static variables are recognised by that very
 * value; one that is only near it is found too, for the difference to be told.  False: not found. */
bool tm_stdlib_traced_memory(struct tm_stdlib_memory *memory, struct tm_stdlib_state *state, uint64_t sum,
                             uint64_t *ret, uint64_t *peak);

#endif
