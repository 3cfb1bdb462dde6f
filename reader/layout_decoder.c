/* SPDX-License-Identifier: MIT */
/* tm's own table into a model: identity, strings, locations, stacks.  O(stacks); blocks wait for layout_map.c. */
#include "layout_decoder.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- strings ------------------------------------------------------------------------------------------------------ */

/* Strings are needed in the order of locations, so their chunks stay loaded: a string of the model points into them. */
struct layout_strings {
    struct layout_chunk *chunks; /* by number; elements == NULL where one is missing */
    uint64_t count;
    uint32_t shift;
    struct {
        uint32_t ref;
        uint32_t string;
    } recent[1024]; /* what refs have become: neighbouring locations share their file */
};

static struct tm_error *keep_strings(void *context, uint64_t first, const struct layout_chunk *chunk)
{
    struct layout_strings *strings = context;
    uint64_t number = first >> strings->shift;
    if (number >= strings->count) {
        struct layout_chunk *chunks = reallocarray(strings->chunks, number + 1, sizeof(*chunks));
        if (!chunks)
            return tm_error_no_memory();
        memset(chunks + strings->count, 0, (number + 1 - strings->count) * sizeof(*chunks));
        strings->chunks = chunks;
        strings->count = number + 1;
    }
    struct layout_chunk *kept = &strings->chunks[number];
    *kept = *chunk;
    if (chunk->bytes.copy) {
        uint64_t size = chunk->count * chunk->stride;
        kept->bytes = (struct tm_bytes){.size = size, .copy = malloc(size), .room = size};
        if (!kept->bytes.copy)
            return tm_error_no_memory();
        memcpy(kept->bytes.copy, chunk->elements, size);
        kept->elements = kept->bytes.data = kept->bytes.copy;
    }
    return NULL;
}

static struct tm_error *string(struct tm_model *model, uint32_t ref, uint32_t *ret)
{
    const struct layout *layout = model->private;
    struct layout_strings *strings = layout->strings;
    uint32_t slot = ref % (sizeof(strings->recent) / sizeof(strings->recent[0]));
    if (ref && strings->recent[slot].ref == ref) {
        *ret = strings->recent[slot].string;
        return NULL;
    }
    uint64_t number = (uint64_t)ref >> strings->shift, unit = ref & ((UINT64_C(1) << strings->shift) - 1);
    const struct layout_chunk *chunk = number < strings->count ? &strings->chunks[number] : NULL;
    if (!ref || !chunk || unit >= chunk->count) {
        /* The chunk's absence has its own note, if it is absent. */
        if (!ref || !chunk || chunk->elements)
            tm_model_incomplete(model, "a file or function name is missing: there is no string %" PRIu32, ref);
        return tm_model_string(model, "<unknown>", 9, false, ret);
    }
    const uint8_t *bytes = chunk->elements + unit * TM_STRING_UNIT;
    uint64_t room = (chunk->count - unit) * TM_STRING_UNIT - sizeof(struct tm_string);
    struct tm_string head;
    memcpy(&head, bytes, sizeof(head));
    if (head.length > room || head.length > TM_STRING_MAX) {
        tm_model_incomplete(model, "a file or function name is damaged: string %" PRIu32 " is longer than its part",
                            ref);
        return tm_model_string(model, "<unknown>", 9, false, ret);
    }
    if (layout->has_checks && head.check != tm_string_check(ref, bytes + sizeof(head), head.length))
        tm_model_incomplete(model, "a file or function name is damaged: string %" PRIu32 " is not what was written",
                            ref);
    struct tm_error *error = tm_model_string(model, bytes + sizeof(head), head.length, false, ret);
    if (!error) {
        strings->recent[slot].ref = ref;
        strings->recent[slot].string = *ret;
    }
    return error;
}

static struct tm_error *load_strings(struct tm_model *model)
{
    struct layout *layout = model->private;
    layout->strings = calloc(1, sizeof(*layout->strings));
    if (!layout->strings)
        return tm_error_no_memory();
    const struct tm_table *table = &layout->state.strings;
    layout->strings->shift = table->chunk_shift <= 40 ? table->chunk_shift : 0;
    /* References have 32 bits; and units must lie without gaps. */
    uint64_t count = table->count < UINT32_MAX ? table->count : UINT32_MAX;
    if (table->element_size != TM_STRING_UNIT && count) {
        tm_model_incomplete(model, "the table of names is damaged: its description makes no sense");
        return NULL;
    }
    return layout_table_each(model, table, count, TM_CHUNK_STRINGS, TM_STRING_UNIT, "the names", keep_strings,
                             layout->strings);
}

/* ---- locations ------------------------------------------------------------------------------------------------------ */

/* The model's location 0 is one of its own: location i of the table becomes number i + 1. */
static struct tm_error *add_locations(void *context, uint64_t first, const struct layout_chunk *chunk)
{
    struct tm_model *model = context;
    const struct layout *layout = model->private;
    struct tm_error *error = NULL;
    uint64_t damaged = 0;
    uint32_t number;
    while (!error && model->location_count < first + 1) /* chunks before this one are missing */
        error = tm_model_add_location(model, model->locations[0], &number);
    for (uint64_t i = 0; i < chunk->count && !error; i++) {
        struct tm_location location;
        memcpy(&location, chunk->elements + i * chunk->stride, sizeof(location));
        if (layout->has_checks && location.check != tm_location_check((uint32_t)(first + i), &location)) {
            damaged++;
            error = tm_model_add_location(model, model->locations[0], &number);
            continue;
        }
        struct tm_model_location added = {.lineno = location.lineno};
        error = string(model, location.filename, &added.filename);
        if (!error)
            error = string(model, location.name, &added.name);
        if (!error)
            error = tm_model_add_location(model, added, &number);
    }
    if (damaged)
        tm_model_incomplete(model, "%" PRIu64 " locations from number %" PRIu64 " on are damaged", damaged, first);
    return error;
}

/* ---- stacks ----------------------------------------------------------------------------------------------------------- */

struct tm_error *layout_reserve_stacks(struct tm_model *model, uint64_t count)
{
    if (count > model->stack_room) {
        struct tm_stack_node *stacks = reallocarray(model->stacks, count, sizeof(*stacks));
        if (!stacks)
            return tm_error_no_memory();
        model->stacks = stacks;
        struct tm_total *totals = reallocarray(model->totals, count, sizeof(*totals));
        if (!totals)
            return tm_error_no_memory();
        model->totals = totals;
        model->stack_room = count;
    }
    if (count > model->stack_count) {
        uint64_t more = count - model->stack_count;
        memset(model->stacks + model->stack_count, 0, more * sizeof(*model->stacks));
        memset(model->totals + model->stack_count, 0, more * sizeof(*model->totals));
        model->stack_count = count;
    }
    return NULL;
}

static struct tm_error *add_stacks(void *context, uint64_t first, const struct layout_chunk *chunk)
{
    struct tm_model *model = context;
    const struct layout *layout = model->private;
    struct tm_error *error = layout_reserve_stacks(model, first + chunk->count);
    if (error)
        return error;
    uint64_t damaged = 0;
    for (uint64_t i = 0; i < chunk->count; i++) {
        struct tm_stack stack;
        memcpy(&stack, chunk->elements + i * chunk->stride, sizeof(stack));
        uint64_t number = first + i;
        if (number == TM_STACK_NONE)
            continue;
        bool bent = layout->has_checks && stack.check != tm_stack_check((uint32_t)number, &stack);
        if (bent || stack.parent >= number || stack.location >= model->location_count - 1) {
            damaged++;
            model->stacks[number] = (struct tm_stack_node){0};
            continue;
        }
        model->stacks[number] =
            (struct tm_stack_node){.parent = stack.parent, .location = stack.location + 1, .depth = stack.depth};
    }
    if (damaged)
        tm_model_incomplete(model, "%" PRIu64 " stacks from number %" PRIu64 " on are damaged", damaged, first);
    return NULL;
}

/* ---- opening ---------------------------------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t room, const char *from, size_t size)
{
    size_t length = strnlen(from, size);
    if (length > room - 1)
        length = room - 1;
    /* It goes into sentences: nothing but a version's characters. */
    for (size_t i = 0; i < length; i++)
        to[i] = from[i] > ' ' && from[i] < 0x7f && from[i] != '"' && from[i] != '\\' ? from[i] : '?';
    to[length] = 0;
}

/* Shared mappings of files are not in a core (coredump_filter, core(5)). */
static struct tm_error *lies_in_a_file(const struct tm_model *model, const struct tm_root *root)
{
    int length = (int)strnlen(root->table_file, sizeof(root->table_file));
    struct tm_error *error = tm_error(TM_ERROR_MEMORY, "the trace table of %s is not in it", model->target->name);
    error = tm_error_because(error, "the program kept it in the file %.*s, which is read in the same way", length,
                             root->table_file);
    return tm_error_try(error, "tm top %.*s", length, root->table_file);
}

static struct tm_error *load_state(struct tm_model *model)
{
    struct layout *layout = model->private;
    if (!layout->root.state)
        return tm_error_try(
            tm_error_because(tm_error(TM_ERROR_NOT_STARTED, "tm was loaded in %s, but tracing was never started",
                                      model->target->name),
                             "neither PYTHONTM nor tm.start() asked for it"),
            "tm run -- python3 app.py");
    struct layout_chunk chunk = {0};
    struct tm_error *error = NULL;
    if (!layout_chunk_load(&chunk, model, layout->root.state, TM_CHUNK_STATE, LAYOUT_ANY_INDEX, sizeof(struct tm_state),
                           1, "the table's state")) {
        error = tm_error(TM_ERROR_INTERRUPTED, "interrupted");
    } else if (chunk.count) {
        memcpy(&layout->state, chunk.elements, sizeof(layout->state));
    } else if (layout->root.table_file[0]) {
        error = lies_in_a_file(model, &layout->root);
    } else {
        error = tm_error(TM_ERROR_DAMAGED, "the trace table in %s cannot be read", model->target->name);
        if (model->incomplete && model->incomplete[0])
            error = tm_error_because(error, "%s", model->incomplete[0]);
        error = tm_error_try(error, "a complete core: ulimit -c unlimited, and coredump_filter 0x33 (see core(5))");
    }
    layout_chunk_unload(&chunk);
    return error;
}

static struct tm_error *load_tables(struct tm_model *model)
{
    struct layout *layout = model->private;
    const struct tm_state *state = &layout->state;
    model->tracing = state->tracing != 0;
    model->frame_limit = state->frame_limit ? state->frame_limit : 1;
    model->started = state->started;
    model->table_bytes = state->table_bytes;
    layout->has_checks = layout->root_address ? layout->root.layout_version >= 2 : state->check != 0;
    layout->step = layout->has_checks ? TM_COUNT_STEP : 1;
    if (layout->has_checks && state->tracing && state->check != tm_state_check(state))
        tm_model_incomplete(model,
                            "the table's state is damaged: the frame limit and the time of the start are not what "
                            "was written");
    /* The number of stacks is read before anything that they refer to is, but after it was written: whatever a stack
     * below this number needs is there, even if the process runs on. */
    uint64_t stack_count = state->stacks.count;
    if (stack_count > (uint64_t)TM_SLOT_STACK_MASK + 1) {
        tm_model_incomplete(model, "the table of stacks is damaged: it claims %" PRIu64 " stacks", stack_count);
        stack_count = (uint64_t)TM_SLOT_STACK_MASK + 1;
    }
    struct tm_error *error = load_strings(model);
    if (!error)
        error = layout_table_each(
            model, &state->locations, state->locations.count < UINT32_MAX / 2 ? state->locations.count : UINT32_MAX / 2,
            TM_CHUNK_LOCATIONS, sizeof(struct tm_location), "the locations", add_locations, model);
    if (!error)
        error = layout_table_each(model, &state->stacks, stack_count, TM_CHUNK_STACKS, sizeof(struct tm_stack),
                                  "the stacks", add_stacks, model);
    if (!error)
        error = layout_load_totals(model, stack_count);
    return error;
}

static void destroy(struct tm_model *model)
{
    struct layout *layout = model->private;
    if (!layout)
        return;
    if (layout->strings) {
        for (uint64_t i = 0; i < layout->strings->count; i++)
            layout_chunk_unload(&layout->strings->chunks[i]);
        free(layout->strings->chunks);
        free(layout->strings);
    }
    free(layout);
}

static const struct tm_model_ops ops = {
    .each_block = layout_each_block,
    .each_foreign = layout_each_foreign,
    .find_block = layout_find_block,
    .check = layout_check,
    .destroy = destroy,
};

static struct tm_error *open_table(struct tm_target *target, struct tm_model **ret)
{
    struct tm_root root;
    uint64_t address;
    bool found;
    struct tm_error *error = layout_find_root(target, &root, &address, &found);
    if (error || !found)
        return error;
    struct tm_model *model;
    error = tm_model_create(&ops, target, &model);
    if (error)
        return error;
    struct layout *layout = calloc(1, sizeof(*layout));
    model->private = layout;
    if (!layout)
        error = tm_error_no_memory();
    if (!error) {
        layout->root = root;
        layout->root_address = address;
        model->tracer = "tm";
        copy_text(model->tracer_version, sizeof(model->tracer_version), root.runtime_version,
                  sizeof(root.runtime_version));
        copy_text(model->python, sizeof(model->python), root.python, sizeof(root.python));
        model->python_version = root.python_version;
        model->pid = root.pid <= INT32_MAX ? (pid_t)root.pid : 0;
        model->has_names = true;
        model->has_totals = true;
        if (!address)
            tm_model_incomplete(model, "the root of the table is missing: which program was traced is not known");
        error = load_state(model);
    }
    if (!error)
        error = load_tables(model);
    if (error) {
        tm_model_destroy(model);
        return error;
    }
    *ret = model;
    return NULL;
}

const struct tm_decoder tm_layout_decoder = {
    .name = "tm",
    .open = open_table,
};
