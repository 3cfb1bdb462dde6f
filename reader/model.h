/* SPDX-License-Identifier: MIT */
/*
 * What was traced, whoever traced it.  A decoder fills a model from a target (layout_decoder.c for tm's own table);
 * statistics, filters, formats and commands read only models.
 *
 * Strings are interned by content: two strings are equal if their numbers are.  Stacks are a tree: every stack is its
 * newest frame and the stack below it, parents before children.  Totals per stack are there at once; single blocks are
 * there only on demand, because there are many.
 */
#ifndef TM_MODEL_H
#define TM_MODEL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "target.h"

struct tm_string_ref {
    const char *bytes; /* UTF-8 with surrogatepass if the target is honest; any bytes if not */
    uint32_t length;
};

/* Interned strings.  Number 0 is "". */
struct tm_strings {
    struct tm_string_ref *items;
    uint32_t count;
    uint32_t room;
    uint32_t *buckets;
    uint32_t bucket_count;
    struct tm_strings_block *blocks; /* memory of those that were copied */
};

struct tm_model_location {
    uint32_t filename; /* string */
    uint32_t name;     /* string of the function; 0: unknown */
    uint32_t lineno;   /* 0: unknown */
};

struct tm_stack_node {
    uint32_t parent;   /* stack below, < own number; 0: outermost known frame */
    uint32_t location; /* location of the newest frame */
    uint32_t depth;    /* frames that the thread had (total_nframe), >= those recorded; 0: unknown */
};

struct tm_total {
    int64_t bytes;
    int64_t blocks;
};

/* Numbers out of a damaged table may be anything; sums of them must still be defined. */
static inline int64_t tm_sum(int64_t left, int64_t right)
{
    return (int64_t)((uint64_t)left + (uint64_t)right);
}

static inline int64_t tm_difference(int64_t left, int64_t right)
{
    return (int64_t)((uint64_t)left - (uint64_t)right);
}

struct tm_block {
    uint64_t address;
    uint64_t size;
    uint32_t stack;
    uint32_t domain;
};

/* Blocks of a domain other than 0. */
struct tm_foreign_total {
    uint32_t domain;
    uint32_t stack;
    struct tm_total total;
};

struct tm_model;

/* Takes a batch of blocks; an error stops the walk and is handed on. */
typedef struct tm_error *(*tm_blocks_fn)(void *context, const struct tm_block *blocks, size_t count);
/* The same for totals. */
typedef struct tm_error *(*tm_foreign_fn)(void *context, const struct tm_foreign_total *totals, size_t count);
/* Takes one finding of a check: a full sentence without a full stop. */
typedef void (*tm_finding_fn)(void *context, const char *finding);

struct tm_model_ops {
    /* Walks all live blocks, in order of address within a domain. */
    struct tm_error *(*each_block)(struct tm_model *model, tm_blocks_fn fn, void *context);
    /* Totals of the domains other than 0, without a walk over all blocks.  A domain and stack may come several times.
     * NULL: each_block is searched. */
    struct tm_error *(*each_foreign)(struct tm_model *model, tm_foreign_fn fn, void *context);
    /* The live block that holds the address: *found tells.  NULL: each_block is searched. */
    struct tm_error *(*find_block)(struct tm_model *model, uint64_t address, struct tm_block *ret, bool *found);
    /* Looks at every part of the table for damage beyond what opening it found.  May be NULL. */
    struct tm_error *(*check)(struct tm_model *model, tm_finding_fn fn, void *context);
    /* What symbols and debug information say of the table: a sentence, to be freed; *agree: nothing speaks against it;
     * *silent: there are none.  May be NULL. */
    char *(*symbols)(struct tm_model *model, bool *agree, bool *silent);
    /* Releases `private` only. */
    void (*destroy)(struct tm_model *model);
};

struct tm_model {
    const struct tm_model_ops *ops;
    struct tm_target *target; /* borrowed; NULL for a file of its own */
    void *private;            /* of the decoder */

    /* Who traced whom */
    const char *tracer;      /* "tm" or "tracemalloc"; a literal */
    char tracer_version[32]; /* "" if unknown */
    char python[64];         /* "3.12.1"; "" if unknown */
    uint32_t python_version; /* PY_VERSION_HEX; 0 if unknown */
    pid_t pid;               /* 0 if unknown */
    bool tracing;            /* it was on at that moment */
    uint32_t frame_limit;    /* newest frames of each traceback to show; never 0 */
    uint64_t started;        /* CLOCK_REALTIME nanoseconds; 0 if unknown */
    uint64_t table_bytes;    /* that tracing itself had mapped; 0 if unknown */
    bool has_names;          /* locations know their functions */
    bool has_totals;         /* totals[] came from the table; otherwise the decoder walked the blocks */

    /* Totals over all domains */
    uint64_t size;
    uint64_t count;
    uint64_t peak;
    uint64_t lost; /* allocations that could not be recorded */

    struct tm_strings strings;
    struct tm_model_location *locations; /* [0] is unknown: "<unknown>" line 0 */
    uint32_t location_count;
    uint32_t location_room;
    struct tm_stack_node *stacks; /* [0] is the empty stack */
    struct tm_total *totals;      /* per stack; same number of elements */
    uint32_t stack_count;
    uint32_t stack_room;

    /* What shows that nothing is missing, if the table itself does not: a sentence; or NULL */
    char *proof;
    /* Why the answer is only a lower bound; empty if it is complete */
    char **incomplete;
    size_t incomplete_count;
};

struct tm_decoder {
    const char *name;
    /* *ret = NULL without an error: the target has no table of this kind, let the next decoder try. */
    struct tm_error *(*open)(struct tm_target *target, struct tm_model **ret);
};
extern const struct tm_decoder tm_layout_decoder; /* runtime/layout.h */
extern const struct tm_decoder tm_stdlib_decoder; /* the standard library's tracemalloc */

/* Whose table is wanted: both may be there. */
enum tm_tracer {
    TM_TRACER_ANY, /* tm's own, otherwise the standard library's */
    TM_TRACER_TM,
    TM_TRACER_STDLIB,
};
extern const char *const tm_tracer_names[];

/* Asks all decoders (decoders.c), or one. */
struct tm_error *tm_model_open_tracer(struct tm_target *target, enum tm_tracer tracer, struct tm_model **ret);
struct tm_error *tm_model_open(struct tm_target *target, struct tm_model **ret);

/* For decoders.  create() leaves one string (""), one location and one stack, each number 0. */
struct tm_error *tm_model_create(const struct tm_model_ops *ops, struct tm_target *target, struct tm_model **ret);
void tm_model_destroy(struct tm_model *model);
/* Number of the string with these bytes.  copy: the bytes do not live as long as the target. */
struct tm_error *tm_model_string(struct tm_model *model, const void *bytes, uint32_t length, bool copy, uint32_t *ret);
struct tm_error *tm_model_add_location(struct tm_model *model, struct tm_model_location location, uint32_t *ret);
struct tm_error *tm_model_add_stack(struct tm_model *model, struct tm_stack_node stack, uint32_t *ret);
/* Notes why the answer is incomplete; after some notes, further ones are only counted.  Also used while walking. */
__attribute__((format(printf, 2, 3))) void tm_model_incomplete(struct tm_model *model, const char *why, ...);

/* How many of the notes are there in full: incomplete[0] to [ret - 1]. */
size_t tm_model_notes(const struct tm_model *model);

/* "pid 1234, CPython 3.12.1, tm": the same whichever way the target was opened.  To be freed. */
char *tm_model_source(const struct tm_model *model);

static inline struct tm_string_ref tm_model_text(const struct tm_model *model, uint32_t string)
{
    return model->strings.items[string < model->strings.count ? string : 0];
}

/* Blocks, through ops or by the generic way. */
struct tm_error *tm_model_each_block(struct tm_model *model, tm_blocks_fn fn, void *context);
struct tm_error *tm_model_each_foreign(struct tm_model *model, tm_foreign_fn fn, void *context);
struct tm_error *tm_model_find_block(struct tm_model *model, uint64_t address, struct tm_block *ret, bool *found);

#endif
