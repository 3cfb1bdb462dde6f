/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* qsort_r */
#include "statistics.h"

#include <stdlib.h>
#include <string.h>

#include "string_table.h"
#include "windows.h"

const char *const tm_group_names[] = {"lineno", "filename", "function", "traceback", NULL};

struct sums {
    int64_t size;
    int64_t count;
    uint32_t stack; /* the first one seen; 0: none yet */
    uint32_t location;
};

struct maker {
    const struct tm_model *model;
    enum tm_group group;
    uint32_t *lines; /* per location: number of its group */
    uint32_t line_count;
    struct sums *sums; /* per group */
    uint32_t sum_count;
};

/* ---- what belongs together ------------------------------------------------------------------------------------------ */

static uint64_t line_key(const struct tm_model_location *location, enum tm_group group)
{
    switch (group) {
    case TM_GROUP_FILENAME:
        return location->filename;
    case TM_GROUP_FUNCTION:
        return (uint64_t)location->filename << 32 | location->name;
    default: /* as tracemalloc, which has no names: two functions on one line are one */
        return (uint64_t)location->filename << 32 | location->lineno;
    }
}

static size_t table_size(size_t count)
{
    size_t size = 16;
    while (size < count * 2)
        size *= 2;
    return size;
}

/* Numbers the groups of locations: equal numbers for locations that are the same to this kind of group. */
static struct tm_error *number_lines(struct maker *maker)
{
    const struct tm_model *model = maker->model;
    size_t size = table_size(model->location_count);
    uint32_t *table = calloc(size, sizeof(*table));
    maker->lines = malloc(model->location_count * sizeof(*maker->lines));
    uint64_t *keys = malloc(model->location_count * sizeof(*keys));
    if (!table || !maker->lines || !keys) {
        free(table);
        free(keys);
        return tm_error_no_memory();
    }
    for (uint32_t i = 0; i < model->location_count; i++) {
        uint64_t key = line_key(&model->locations[i], maker->group);
        size_t at = tm_mix(key) & (size - 1);
        while (table[at] && keys[table[at] - 1] != key)
            at = (at + 1) & (size - 1);
        if (!table[at]) {
            keys[maker->line_count++] = key;
            table[at] = maker->line_count;
        }
        maker->lines[i] = table[at] - 1;
    }
    free(table);
    free(keys);
    return NULL;
}

static inline void add(struct sums *sums, const struct tm_total *total, uint32_t stack, uint32_t location)
{
    sums->size = tm_sum(sums->size, total->bytes);
    sums->count = tm_sum(sums->count, total->blocks);
    if (!sums->stack) {
        sums->stack = stack;
        sums->location = location;
    }
}

static inline bool lives(const struct tm_total *total)
{
    return total->bytes | total->blocks;
}

static struct tm_error *sum_lines(struct maker *maker, const struct tm_total *totals)
{
    const struct tm_model *model = maker->model;
    maker->sums = calloc(maker->line_count, sizeof(*maker->sums));
    if (!maker->sums)
        return tm_error_no_memory();
    maker->sum_count = maker->line_count;
    for (uint32_t i = 0; i < model->stack_count; i++) {
        if (lives(&totals[i])) {
            uint32_t location = model->stacks[i].location;
            add(&maker->sums[maker->lines[location]], &totals[i], i, location);
        }
    }
    return NULL;
}

/* Every frame of a traceback gets all of it.  Going from children to parents, each stack hands what it has got to the one
 * below; where a window ends, what came from its top is taken off again. */
static struct tm_error *sum_frames(struct maker *maker, const struct tm_total *totals)
{
    const struct tm_model *model = maker->model;
    struct tm_windows windows;
    struct tm_error *error = tm_windows_init(&windows, model, NULL, false);
    if (error)
        return error;
    maker->sums = calloc(maker->line_count, sizeof(*maker->sums));
    struct tm_total *passing = malloc(model->stack_count * sizeof(*passing));
    if (!maker->sums || !passing) {
        tm_windows_deinit(&windows);
        free(passing);
        return tm_error_no_memory();
    }
    maker->sum_count = maker->line_count;
    memcpy(passing, totals, model->stack_count * sizeof(*passing));
    for (uint32_t i = 1; i < model->stack_count; i++) {
        uint32_t end = lives(&totals[i]) ? tm_window_end(&windows, i) : 0;
        if (end) {
            passing[end].bytes = tm_difference(passing[end].bytes, totals[i].bytes);
            passing[end].blocks = tm_difference(passing[end].blocks, totals[i].blocks);
        }
    }
    for (uint32_t i = model->stack_count; i-- > 0;) {
        if (!lives(&passing[i]))
            continue;
        const struct tm_stack_node *node = &model->stacks[i];
        if (i || lives(&totals[0]))
            add(&maker->sums[maker->lines[node->location]], i ? &passing[i] : &totals[0], i, node->location);
        if (node->parent) {
            struct tm_total *below = &passing[node->parent];
            below->bytes = tm_sum(below->bytes, passing[i].bytes);
            below->blocks = tm_sum(below->blocks, passing[i].blocks);
        }
    }
    tm_windows_deinit(&windows);
    free(passing);
    return NULL;
}

static struct tm_error *sum_tracebacks(struct maker *maker, const struct tm_total *totals)
{
    const struct tm_model *model = maker->model;
    size_t live = 0;
    for (uint32_t i = 0; i < model->stack_count; i++)
        live += lives(&totals[i]);
    struct tm_windows windows;
    struct tm_error *error = tm_windows_init(&windows, model, maker->lines, true);
    if (error)
        return error;
    size_t size = table_size(live);
    uint32_t *table = calloc(size, sizeof(*table));
    struct tm_window_key *keys = malloc((live + 1) * sizeof(*keys));
    maker->sums = calloc(live + 1, sizeof(*maker->sums));
    if (!table || !keys || !maker->sums)
        error = tm_error_no_memory();
    for (uint32_t i = 0; i < model->stack_count && !error; i++) {
        if (!lives(&totals[i]))
            continue;
        struct tm_window_key key = tm_window_key(&windows, i);
        size_t at = tm_mix(key.high ^ key.low) & (size - 1);
        while (table[at] && (keys[table[at] - 1].high != key.high || keys[table[at] - 1].low != key.low))
            at = (at + 1) & (size - 1);
        if (!table[at]) {
            keys[maker->sum_count++] = key;
            table[at] = maker->sum_count;
        }
        add(&maker->sums[table[at] - 1], &totals[i], i, model->stacks[i].location);
    }
    tm_windows_deinit(&windows);
    free(table);
    free(keys);
    return error;
}

/* ---- order ------------------------------------------------------------------------------------------------------------ */

static int compare_lines(const struct tm_model *model, enum tm_group group, uint32_t left, uint32_t right)
{
    const struct tm_model_location *a = &model->locations[left], *b = &model->locations[right];
    int order = tm_strings_compare(&model->strings, a->filename, b->filename);
    if (order || group == TM_GROUP_FILENAME)
        return order;
    if (group == TM_GROUP_FUNCTION)
        return tm_strings_compare(&model->strings, a->name, b->name);
    return (a->lineno > b->lineno) - (a->lineno < b->lineno);
}

uint32_t tm_traceback_length(const struct tm_model *model, uint32_t stack)
{
    uint32_t length = 0;
    while (stack && length < model->frame_limit) {
        length++;
        stack = model->stacks[stack].parent;
    }
    return length;
}

static uint32_t ancestor(const struct tm_model *model, uint32_t stack, uint32_t steps)
{
    while (steps--)
        stack = model->stacks[stack].parent;
    return stack;
}

/* Tracebacks compare from the oldest frame of the window on, like tuples: the first difference decides, then length.  Two
 * different windows with equal size and count are rare enough among those that are shown; so this walks up from the old
 * end step by step only as far as they agree. */
static int compare_tracebacks(const struct tm_model *model, uint32_t left, uint32_t right)
{
    uint32_t left_length = tm_traceback_length(model, left), right_length = tm_traceback_length(model, right);
    uint32_t shorter = left_length < right_length ? left_length : right_length;
    uint32_t left_old = ancestor(model, left, left_length - !!left_length);
    uint32_t right_old = ancestor(model, right, right_length - !!right_length);
    int order =
        compare_lines(model, TM_GROUP_TRACEBACK, model->stacks[left_old].location, model->stacks[right_old].location);
    for (uint32_t i = 1; i < shorter && !order; i += 64) {
        /* 64 frames at a time, each walked down to from the newest */
        uint32_t here = shorter - i < 64 ? shorter - i : 64;
        uint32_t a[64], b[64];
        uint32_t at = ancestor(model, left, left_length - i - here);
        for (uint32_t j = here; j-- > 0; at = model->stacks[at].parent)
            a[j] = at;
        at = ancestor(model, right, right_length - i - here);
        for (uint32_t j = here; j-- > 0; at = model->stacks[at].parent)
            b[j] = at;
        for (uint32_t j = 0; j < here && !order; j++)
            order =
                compare_lines(model, TM_GROUP_TRACEBACK, model->stacks[a[j]].location, model->stacks[b[j]].location);
    }
    return order ? order : (left_length > right_length) - (left_length < right_length);
}

/* tracemalloc sorts by (size, count, traceback), the biggest first. */
static int compare(const void *left, const void *right, void *context)
{
    const struct tm_statistic *a = left, *b = right;
    const struct maker *maker = context;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    if (maker->group == TM_GROUP_TRACEBACK)
        return -compare_tracebacks(maker->model, a->stack, b->stack);
    return -compare_lines(maker->model, maker->group, a->location, b->location);
}

/* Sinks the last element of the heap's root: the worst of those kept is on top. */
static void sift_down(struct tm_statistic *heap, size_t count, struct maker *maker)
{
    for (size_t at = 0;;) {
        size_t worst = at, child = at * 2 + 1;
        for (size_t end = child + 2; child < end && child < count; child++) {
            if (compare(&heap[child], &heap[worst], maker) > 0)
                worst = child;
        }
        if (worst == at)
            return;
        struct tm_statistic moved = heap[at];
        heap[at] = heap[worst];
        heap[worst] = moved;
        at = worst;
    }
}

static void sift_up(struct tm_statistic *heap, size_t at, struct maker *maker)
{
    while (at) {
        size_t parent = (at - 1) / 2;
        if (compare(&heap[at], &heap[parent], maker) <= 0)
            return;
        struct tm_statistic moved = heap[at];
        heap[at] = heap[parent];
        heap[parent] = moved;
        at = parent;
    }
}

/* The first `limit` in order, without sorting the rest. */
static struct tm_error *select_first(struct maker *maker, size_t limit, struct tm_statistics *ret)
{
    size_t room = limit && limit < maker->sum_count ? limit : maker->sum_count;
    ret->items = calloc(room + 1, sizeof(*ret->items));
    if (!ret->items)
        return tm_error_no_memory();
    for (uint32_t i = 0; i < maker->sum_count; i++) {
        const struct sums *sums = &maker->sums[i];
        /* Allocated here, freed there: what is in flight between two shards of a core may be below zero. */
        if (sums->count <= 0 && sums->size <= 0)
            continue;
        struct tm_statistic item = {.size = sums->size < 0 ? 0 : sums->size,
                                    .count = sums->count < 0 ? 0 : sums->count,
                                    .stack = sums->stack,
                                    .location = sums->location};
        ret->groups++;
        ret->rest_size = tm_sum(ret->rest_size, item.size);
        ret->rest_count = tm_sum(ret->rest_count, item.count);
        if (ret->count < room) {
            ret->items[ret->count] = item;
            if (room < maker->sum_count)
                sift_up(ret->items, ret->count, maker);
            ret->count++;
        } else if (compare(&item, &ret->items[0], maker) < 0) {
            ret->items[0] = item;
            sift_down(ret->items, ret->count, maker);
        }
    }
    if (limit != TM_ANY_ORDER)
        qsort_r(ret->items, ret->count, sizeof(*ret->items), compare, maker);
    for (size_t i = 0; i < ret->count; i++) {
        ret->rest_size = tm_difference(ret->rest_size, ret->items[i].size);
        ret->rest_count = tm_difference(ret->rest_count, ret->items[i].count);
    }
    return NULL;
}

struct tm_error *tm_statistics_make(const struct tm_model *model, const struct tm_total *totals, enum tm_group group,
                                    bool cumulative, size_t limit, struct tm_statistics *ret)
{
    struct maker maker = {.model = model, .group = group};
    if (!totals)
        totals = model->totals;
    *ret = (struct tm_statistics){.group = group};
    struct tm_error *error = number_lines(&maker);
    if (!error) {
        if (model->frame_limit > 1 && group == TM_GROUP_TRACEBACK)
            error = sum_tracebacks(&maker, totals);
        else if (model->frame_limit > 1 && cumulative)
            error = sum_frames(&maker, totals);
        else
            error = sum_lines(&maker, totals);
    }
    if (!error)
        error = select_first(&maker, limit, ret);
    free(maker.lines);
    free(maker.sums);
    if (error)
        tm_statistics_free(ret);
    return error;
}

void tm_statistics_free(struct tm_statistics *statistics)
{
    free(statistics->items);
    *statistics = (struct tm_statistics){0};
}
