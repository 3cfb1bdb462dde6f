/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "string_table.h"

#define MAX_NOTES 20

struct tm_error *tm_model_create(const struct tm_model_ops *ops, struct tm_target *target, struct tm_model **ret)
{
    struct tm_model *model = calloc(1, sizeof(*model));
    if (!model)
        return tm_error_no_memory();
    model->ops = ops;
    model->target = target;
    model->frame_limit = 1;
    uint32_t unknown, number;
    struct tm_error *error = tm_strings_init(&model->strings);
    if (!error)
        error = tm_model_string(model, "<unknown>", 9, false, &unknown);
    if (!error)
        error = tm_model_add_location(model, (struct tm_model_location){.filename = unknown}, &number);
    if (!error)
        error = tm_model_add_stack(model, (struct tm_stack_node){0}, &number);
    if (error) {
        tm_model_destroy(model);
        return error;
    }
    *ret = model;
    return NULL;
}

void tm_model_destroy(struct tm_model *model)
{
    if (!model)
        return;
    if (model->ops->destroy)
        model->ops->destroy(model);
    for (size_t i = 0; i < model->incomplete_count && i < MAX_NOTES; i++)
        free(model->incomplete[i]);
    free(model->incomplete);
    free(model->proof);
    free(model->locations);
    free(model->stacks);
    free(model->totals);
    tm_strings_deinit(&model->strings);
    free(model);
}

struct tm_error *tm_model_string(struct tm_model *model, const void *bytes, uint32_t length, bool copy, uint32_t *ret)
{
    return tm_strings_intern(&model->strings, bytes, length, copy, ret);
}

struct tm_error *tm_model_add_location(struct tm_model *model, struct tm_model_location location, uint32_t *ret)
{
    if (model->location_count == model->location_room) {
        uint32_t room = model->location_room ? model->location_room * 2 : 256;
        struct tm_model_location *locations = reallocarray(model->locations, room, sizeof(*locations));
        if (!locations || !room)
            return tm_error_no_memory();
        model->locations = locations;
        model->location_room = room;
    }
    model->locations[model->location_count] = location;
    *ret = model->location_count++;
    return NULL;
}

struct tm_error *tm_model_add_stack(struct tm_model *model, struct tm_stack_node stack, uint32_t *ret)
{
    if (model->stack_count == model->stack_room) {
        uint32_t room = model->stack_room ? model->stack_room * 2 : 256;
        struct tm_stack_node *stacks = reallocarray(model->stacks, room, sizeof(*stacks));
        if (!stacks || !room)
            return tm_error_no_memory();
        model->stacks = stacks;
        struct tm_total *totals = reallocarray(model->totals, room, sizeof(*totals));
        if (!totals)
            return tm_error_no_memory();
        model->totals = totals;
        model->stack_room = room;
    }
    model->stacks[model->stack_count] = stack;
    model->totals[model->stack_count] = (struct tm_total){0};
    *ret = model->stack_count++;
    return NULL;
}

size_t tm_model_notes(const struct tm_model *model)
{
    size_t count = 0;
    while (count < model->incomplete_count && count < MAX_NOTES && model->incomplete && model->incomplete[count])
        count++;
    return count;
}

void tm_model_incomplete(struct tm_model *model, const char *why, ...)
{
    /* A list that says "and 12345 more" is read; one with 12365 entries is not. */
    char *note = NULL;
    if (model->incomplete_count < MAX_NOTES) {
        va_list arguments;
        va_start(arguments, why);
        if (vasprintf(&note, why, arguments) < 0)
            note = NULL;
        va_end(arguments);
        if (!model->incomplete)
            model->incomplete = calloc(MAX_NOTES, sizeof(*model->incomplete));
        if (model->incomplete)
            model->incomplete[model->incomplete_count] = note;
        else
            free(note);
    }
    model->incomplete_count++;
}

char *tm_model_source(const struct tm_model *model)
{
    char *source = NULL;
    int length = asprintf(&source, "pid %d, CPython %s, %s", (int)model->pid,
                          model->python[0] ? model->python : "of unknown version", model->tracer);
    return length < 0 ? NULL : source;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------- */

struct meter {
    const struct tm_target *target;
    tm_blocks_fn fn;
    void *context;
    uint64_t done;
    uint64_t total;
};

static struct tm_error *measure(void *context, const struct tm_block *blocks, size_t count)
{
    struct meter *meter = context;
    meter->done += count;
    tm_target_progress(meter->target, meter->done, meter->total);
    return meter->fn(meter->context, blocks, count);
}

struct tm_error *tm_model_each_block(struct tm_model *model, tm_blocks_fn fn, void *context)
{
    const struct tm_face *face = model->target ? model->target->face : NULL;
    struct meter meter = {model->target, fn, context, 0, model->count};
    if (face && face->progress)
        return model->ops->each_block(model, measure, &meter);
    return model->ops->each_block(model, fn, context);
}

struct foreign {
    tm_foreign_fn fn;
    void *context;
};

static struct tm_error *pick_foreign(void *context, const struct tm_block *blocks, size_t count)
{
    const struct foreign *foreign = context;
    struct tm_error *error = NULL;
    for (size_t i = 0; i < count && !error; i++) {
        const struct tm_foreign_total total = {blocks[i].domain, blocks[i].stack, {(int64_t)blocks[i].size, 1}};
        if (blocks[i].domain)
            error = foreign->fn(foreign->context, &total, 1);
    }
    return error;
}

struct tm_error *tm_model_each_foreign(struct tm_model *model, tm_foreign_fn fn, void *context)
{
    struct foreign foreign = {fn, context};
    if (model->ops->each_foreign)
        return model->ops->each_foreign(model, fn, context);
    return model->ops->each_block(model, pick_foreign, &foreign);
}

struct search {
    uint64_t address;
    struct tm_block found;
    bool done;
};

static struct tm_error *search_batch(void *context, const struct tm_block *blocks, size_t count)
{
    struct search *search = context;
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = search->address - blocks[i].address; /* huge if the block lies behind the address */
        /* A foreign domain's addresses are names, not memory: only the exact one counts, and real memory goes first. */
        bool hit = blocks[i].domain ? offset == 0 && !search->done : offset < blocks[i].size || offset == 0;
        if (hit) {
            search->found = blocks[i];
            search->done = true;
        }
    }
    return NULL;
}

struct tm_error *tm_model_find_block(struct tm_model *model, uint64_t address, struct tm_block *ret, bool *found)
{
    if (model->ops->find_block)
        return model->ops->find_block(model, address, ret, found);
    struct search search = {.address = address};
    struct tm_error *error = tm_model_each_block(model, search_batch, &search);
    if (error)
        return error;
    *found = search.done;
    if (search.done)
        *ret = search.found;
    return NULL;
}
