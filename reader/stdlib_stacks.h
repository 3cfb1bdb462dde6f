/* SPDX-License-Identifier: MIT */
/* traceback_t -> stacks of a model.  Every traceback, name and frame is read once. */
#ifndef TM_STDLIB_STACKS_H
#define TM_STDLIB_STACKS_H

#include "model.h"
#include "stdlib_find.h"
#include "stdlib_map.h"
#include "stdlib_text.h"

struct tm_stdlib_stacks {
    struct tm_model *model;
    struct tm_stdlib_memory *memory;
    const struct tm_stdlib_table_layout *layout;
    struct tm_stdlib_text text;
    struct tm_stdlib_window window;
    struct tm_stdlib_map tracebacks; /* address -> stack */
    struct tm_stdlib_map names;      /* address -> string */
    struct tm_stdlib_map locations;  /* (string, line) -> location */
    struct tm_stdlib_map nodes;      /* (stack below, location) -> stack */
    uint8_t *frames;                 /* room for the largest traceback */
    uint32_t unknown;                /* stack of one unknown frame; 0: not made yet */
    bool frozen;         /* the model is made: others have arrays as long as its own, so that nothing may be added */
    uint32_t max_nframe; /* of the tracebacks seen */

    /* Honest tracebacks and names do not overlap, so that together they cannot be larger than the memory. */
    uint64_t frame_budget;
    uint64_t text_budget;

    uint64_t damaged_tracebacks;
    uint64_t damaged_names;
    struct tm_fault fault; /* of the first of them that could not be read */
};

struct tm_error *tm_stdlib_stacks_init(struct tm_stdlib_stacks *stacks, struct tm_model *model,
                                       struct tm_stdlib_memory *memory, const struct tm_stdlib_state *state);
void tm_stdlib_stacks_deinit(struct tm_stdlib_stacks *stacks);
struct tm_error *tm_stdlib_stacks_add(struct tm_stdlib_stacks *stacks, uint64_t traceback, uint32_t *ret);

/* The stack of a traceback_t at this address.  One item of cache per trace: it is asked millions of times. */
static inline struct tm_error *tm_stdlib_stack(struct tm_stdlib_stacks *stacks, uint64_t traceback, uint32_t *ret)
{
    const struct tm_stdlib_map *map = &stacks->tracebacks;
    if (map->items && traceback) {
        uint64_t at = tm_stdlib_map_hash(traceback) & map->mask;
        while (map->items[at].key) {
            if (map->items[at].key == traceback) {
                *ret = map->items[at].value;
                return NULL;
            }
            at = (at + 1) & map->mask;
        }
    }
    return tm_stdlib_stacks_add(stacks, traceback, ret);
}

#endif
