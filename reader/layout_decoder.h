/* SPDX-License-Identifier: MIT */
/*
 * Between the files that read tm's own table (runtime/layout.h):
 *
 *   layout_root.c      finds the root record
 *   layout_chunk.c     loads one chunk, distrusting every byte of it; tables of chunks
 *   layout_decoder.c   root -> model: strings, locations, stacks
 *   layout_totals.c    live totals, and whether they can be true
 *   layout_map.c       the address map: all blocks, or the one at an address; foreign blocks
 */
#ifndef TM_LAYOUT_DECODER_H
#define TM_LAYOUT_DECODER_H

#include "model.h"
#include "runtime/layout.h"

struct layout {
    uint64_t root_address;
    struct tm_root root;
    struct tm_state state;
    struct layout_strings *strings;
    bool has_checks;  /* version 2: records carry check words */
    int64_t step;     /* of numbers of blocks: TM_COUNT_STEP, or 1 in version 1 */
    bool doubted;     /* a walk found other blocks than the totals have: noted once */
    uint64_t leaves;  /* found by the last walk */
    uint64_t orphans; /* blocks of the last walk whose stack does not exist */
};

/* ---- root ----------------------------------------------------------------------------------------------------------- */

/* *found: there is one that can be read.  An error: there is one, but of another version or damaged.  *address = 0: it is
 * lost, but the table is there, and *ret says where its state lies. */
struct tm_error *layout_find_root(struct tm_target *target, struct tm_root *ret, uint64_t *address, bool *found);

/* ---- chunks ----------------------------------------------------------------------------------------------------------- */

#define LAYOUT_ANY_INDEX UINT64_MAX

struct layout_chunk {
    struct tm_chunk head;
    struct tm_bytes bytes;
    const uint8_t *elements;
    uint64_t count;  /* elements that can be read, at most those wanted */
    uint32_t stride; /* bytes from one to the next */
};

/* Loads up to `wanted` elements of `element_size` bytes each.  If that is not possible, or only for some of
 * them, the chunk holds what there is (perhaps nothing) and the model gets a note that names the chunk as `what`.
 * Start with a zeroed struct; load again and again; unload in the end.  False: interrupted. */
bool layout_chunk_load(struct layout_chunk *chunk, struct tm_model *model, uint64_t address, enum tm_chunk_kind kind,
                       uint64_t index, uint32_t element_size, uint64_t wanted, const char *what);
void layout_chunk_unload(struct layout_chunk *chunk);

/* Calls fn for every chunk of a table that has elements below `count`, in order.  first: number of its first element. */
typedef struct tm_error *(*layout_elements_fn)(void *context, uint64_t first, const struct layout_chunk *chunk);
struct tm_error *layout_table_each(struct tm_model *model, const struct tm_table *table, uint64_t count,
                                   enum tm_chunk_kind kind, uint32_t element_size, const char *what,
                                   layout_elements_fn fn, void *context);

/* ---- totals ----------------------------------------------------------------------------------------------------------- */

/* Room for stacks up to `count`, those that are missing being unknown ones. */
struct tm_error *layout_reserve_stacks(struct tm_model *model, uint64_t count);
struct tm_error *layout_load_totals(struct tm_model *model, uint64_t stack_count);
/* What a walk over all blocks has found.  `mark` tells one assignment of blocks to stacks from another. */
struct layout_sum {
    uint64_t size;
    uint64_t count;
    uint64_t mark;
};

static inline void layout_sum_add(struct layout_sum *sum, uint64_t size, uint64_t count, uint32_t stack)
{
    uint64_t of_stack = (stack + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
    sum->size += size;
    sum->count += count;
    sum->mark += (size + count) * (of_stack ^ of_stack >> 32);
}

void layout_doubt_walk(struct tm_model *model, const struct layout_sum *walked);

/* ---- map -------------------------------------------------------------------------------------------------------------- */

struct tm_error *layout_each_block(struct tm_model *model, tm_blocks_fn fn, void *context);
struct tm_error *layout_each_foreign(struct tm_model *model, tm_foreign_fn fn, void *context);
struct tm_error *layout_find_block(struct tm_model *model, uint64_t address, struct tm_block *ret, bool *found);
struct tm_error *layout_check(struct tm_model *model, tm_finding_fn fn, void *context);

#endif
