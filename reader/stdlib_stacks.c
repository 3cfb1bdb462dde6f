/* SPDX-License-Identifier: MIT */
#include "stdlib_stacks.h"

#include <stdlib.h>

struct tm_error *tm_stdlib_stacks_init(struct tm_stdlib_stacks *stacks, struct tm_model *model,
                                       struct tm_stdlib_memory *memory, const struct tm_stdlib_state *state)
{
    *stacks = (struct tm_stdlib_stacks){
        .model = model,
        .memory = memory,
        .layout = state->family->table,
        .frame_budget = memory->readable / TM_STDLIB_FRAME,
        .text_budget = memory->readable,
    };
    stacks->frames = malloc((size_t)UINT16_MAX * TM_STDLIB_FRAME);
    if (!stacks->frames)
        return tm_error_no_memory();
    return tm_stdlib_text_init(&stacks->text, memory, state->family->text, state->slot, state->version);
}

void tm_stdlib_stacks_deinit(struct tm_stdlib_stacks *stacks)
{
    tm_stdlib_map_free(&stacks->tracebacks);
    tm_stdlib_map_free(&stacks->names);
    tm_stdlib_map_free(&stacks->locations);
    tm_stdlib_map_free(&stacks->nodes);
    tm_stdlib_text_deinit(&stacks->text);
    free(stacks->frames);
}

static void note_fault(struct tm_stdlib_stacks *stacks, uint64_t *count)
{
    if (!stacks->damaged_tracebacks && !stacks->damaged_names)
        stacks->fault = stacks->memory->fault;
    ++*count;
}

/* What is asked for is in the map, or goes there: `make` sets the value. */
#define INTERN(map, key_expression, ret, make)                                                                         \
    do {                                                                                                               \
        uint64_t key_ = (key_expression);                                                                              \
        struct tm_stdlib_map_item *item_ = tm_stdlib_map_at(map, key_);                                                \
        if (!item_)                                                                                                    \
            return tm_error_no_memory();                                                                               \
        if (item_->key) {                                                                                              \
            *(ret) = item_->value;                                                                                     \
            return NULL;                                                                                               \
        }                                                                                                              \
        struct tm_error *error_ = (make);                                                                              \
        if (error_)                                                                                                    \
            return error_;                                                                                             \
        item_->key = key_;                                                                                             \
        item_->value = *(ret);                                                                                         \
        (map)->count++;                                                                                                \
        return NULL;                                                                                                   \
    } while (0)

static struct tm_error *read_name(struct tm_stdlib_stacks *stacks, uint64_t address, uint32_t *ret)
{
    uint32_t length;
    stacks->memory->fault = (struct tm_fault){0};
    if (stacks->text_budget && tm_stdlib_text_read(&stacks->text, address, &length)) {
        stacks->text_budget -= length < stacks->text_budget ? length : stacks->text_budget;
        return tm_model_string(stacks->model, stacks->text.utf8, length, true, ret);
    }
    note_fault(stacks, &stacks->damaged_names);
    *ret = stacks->model->locations[0].filename; /* "<unknown>" */
    return NULL;
}

static struct tm_error *name(struct tm_stdlib_stacks *stacks, uint64_t address, uint32_t *ret)
{
    if (!address) {
        note_fault(stacks, &stacks->damaged_names);
        *ret = stacks->model->locations[0].filename;
        return NULL;
    }
    INTERN(&stacks->names, address, ret, read_name(stacks, address, ret));
}

static struct tm_error *location(struct tm_stdlib_stacks *stacks, uint32_t filename, uint32_t lineno, uint32_t *ret)
{
    if (!lineno && filename == stacks->model->locations[0].filename) {
        *ret = 0; /* tracemalloc's own "<unknown>", which it uses where no Python frame was */
        return NULL;
    }
    const struct tm_model_location added = {.filename = filename, .lineno = lineno};
    INTERN(&stacks->locations, ((uint64_t)filename << 32 | lineno) + 1, ret,
           tm_model_add_location(stacks->model, added, ret));
}

static struct tm_error *node(struct tm_stdlib_stacks *stacks, uint32_t parent, uint32_t location, uint32_t depth,
                             uint32_t *ret)
{
    const struct tm_stack_node added = {.parent = parent, .location = location, .depth = depth};
    INTERN(&stacks->nodes, ((uint64_t)parent << 32 | location) + 1, ret, tm_model_add_stack(stacks->model, added, ret));
}

/* Frames of a traceback, or NULL if it is none. */
static const uint8_t *load(struct tm_stdlib_stacks *stacks, uint64_t address, uint32_t *nframe, uint32_t *total)
{
    const struct tm_stdlib_table_layout *layout = stacks->layout;
    uint8_t scratch[16];
    stacks->memory->fault = (struct tm_fault){0};
    if (!tm_stdlib_pointer(address))
        return NULL;
    const uint8_t *head = tm_stdlib_at(stacks->memory, &stacks->window, address, layout->first_frame, scratch);
    if (!head)
        return NULL;
    *nframe = layout->nframe_bytes == 2 ? tm_stdlib_u16(head + layout->nframe) : tm_stdlib_u32(head + layout->nframe);
    /* 3.8 knows how deep the stack was only if all of it was kept; nobody can tell whether it was. */
    *total = layout->total_nframe == TM_STDLIB_NONE ? 0 : tm_stdlib_u16(head + layout->total_nframe);
    if (!*nframe || *nframe > UINT16_MAX || *nframe > stacks->frame_budget)
        return NULL;
    stacks->frame_budget -= *nframe;
    return tm_stdlib_at(stacks->memory, &stacks->window, address + layout->first_frame,
                        (uint64_t)*nframe * TM_STDLIB_FRAME, stacks->frames);
}

struct tm_error *tm_stdlib_stacks_add(struct tm_stdlib_stacks *stacks, uint64_t traceback, uint32_t *ret)
{
    uint32_t nframe, total, stack = 0;
    if (stacks->frozen) { /* newer than what was read of a live process, or damaged */
        *ret = stacks->unknown;
        return NULL;
    }
    const uint8_t *frames = load(stacks, traceback, &nframe, &total);
    struct tm_error *error = NULL;
    if (!frames) {
        note_fault(stacks, &stacks->damaged_tracebacks);
        if (!stacks->unknown)
            error = node(stacks, 0, 0, 0, &stacks->unknown);
        stack = stacks->unknown;
        nframe = 0;
    }
    for (uint32_t i = nframe; i-- && !error;) {
        uint32_t filename = 0, number = 0;
        error = name(stacks, tm_stdlib_u64(frames + (uint64_t)i * TM_STDLIB_FRAME), &filename);
        if (!error)
            error = location(stacks, filename, tm_stdlib_u32(frames + (uint64_t)i * TM_STDLIB_FRAME + 8), &number);
        if (!error)
            error = node(stacks, stack, number, total > i ? total - i : 0, &stack);
    }
    if (error)
        return error;
    if (nframe > stacks->max_nframe)
        stacks->max_nframe = nframe;
    if (traceback && !tm_stdlib_map_put(&stacks->tracebacks, traceback, stack))
        return tm_error_no_memory();
    *ret = stack;
    return NULL;
}
