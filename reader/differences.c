/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* qsort_r */
#include "differences.h"

#include <stdlib.h>
#include <string.h>

#include "string_table.h"
#include "windows.h"

/* ---- one numbering for all --------------------------------------------------------------------------------------------- */

struct numbering {
    struct tm_strings strings; /* of all models */
    uint64_t *keys;            /* per number */
    uint32_t count;
    uint32_t room;
    uint32_t *table; /* number + 1 */
    size_t size;
};

static struct tm_error *grow(struct numbering *numbering)
{
    size_t size = numbering->size ? numbering->size * 2 : 1024;
    uint32_t *table = calloc(size, sizeof(*table));
    if (!table)
        return tm_error_no_memory();
    uint64_t *keys = reallocarray(numbering->keys, size / 2, sizeof(*keys));
    if (!keys) {
        free(table);
        return tm_error_no_memory();
    }
    for (uint32_t i = 0; i < numbering->count; i++) {
        size_t at = tm_mix(keys[i]) & (size - 1);
        while (table[at])
            at = (at + 1) & (size - 1);
        table[at] = i + 1;
    }
    free(numbering->table);
    numbering->table = table;
    numbering->size = size;
    numbering->keys = keys;
    numbering->room = (uint32_t)(size / 2);
    return NULL;
}

static struct tm_error *number(struct numbering *numbering, uint64_t key, uint32_t *ret)
{
    if (numbering->count == numbering->room) {
        struct tm_error *error = grow(numbering);
        if (error)
            return error;
    }
    size_t at = tm_mix(key) & (numbering->size - 1);
    while (numbering->table[at] && numbering->keys[numbering->table[at] - 1] != key)
        at = (at + 1) & (numbering->size - 1);
    if (!numbering->table[at]) {
        numbering->keys[numbering->count++] = key;
        numbering->table[at] = numbering->count;
    }
    *ret = numbering->table[at] - 1;
    return NULL;
}

static struct tm_error *number_model(struct numbering *numbering, const struct tm_model *model, enum tm_group group,
                                     uint32_t **ret)
{
    uint32_t *strings = malloc((model->strings.count + 1) * sizeof(*strings));
    uint32_t *lines = malloc((model->location_count + 1) * sizeof(*lines));
    struct tm_error *error = strings && lines ? NULL : tm_error_no_memory();
    for (uint32_t i = 0; i < model->strings.count && !error; i++)
        error = tm_strings_intern(&numbering->strings, model->strings.items[i].bytes, model->strings.items[i].length,
                                  false, &strings[i]);
    for (uint32_t i = 0; i < model->location_count && !error; i++) {
        const struct tm_model_location *location = &model->locations[i];
        uint64_t key = (uint64_t)strings[location->filename] << 32;
        if (group == TM_GROUP_FUNCTION)
            key |= strings[location->name];
        else if (group != TM_GROUP_FILENAME)
            key |= location->lineno;
        error = number(numbering, key, &lines[i]);
    }
    free(strings);
    if (error)
        free(lines);
    else
        *ret = lines;
    return error;
}

struct tm_error *tm_number_lines(const struct tm_model *const *models, size_t count, enum tm_group group,
                                 uint32_t **lines)
{
    struct numbering numbering = {0};
    struct tm_error *error = tm_strings_init(&numbering.strings);
    size_t done = 0;
    for (; done < count && !error; done++)
        error = number_model(&numbering, models[done], group, &lines[done]);
    if (error) {
        while (done-- > 1)
            free(lines[done - 1]);
    }
    tm_strings_deinit(&numbering.strings);
    free(numbering.keys);
    free(numbering.table);
    return error;
}

/* ---- order --------------------------------------------------------------------------------------------------------------- */

struct order {
    const struct tm_model *models[2]; /* old, new */
    enum tm_group group;
    uint32_t *frames[2]; /* scratch: locations of a traceback, newest first */
};

static int compare_text(struct tm_string_ref left, struct tm_string_ref right)
{
    uint32_t shorter = left.length < right.length ? left.length : right.length;
    int order = memcmp(left.bytes, right.bytes, shorter);
    return order ? order : (left.length > right.length) - (left.length < right.length);
}

static int compare_lines(const struct order *order, bool left_gone, uint32_t left, bool right_gone, uint32_t right)
{
    const struct tm_model *a = order->models[!left_gone], *b = order->models[!right_gone];
    const struct tm_model_location *x = &a->locations[left], *y = &b->locations[right];
    int result = compare_text(tm_model_text(a, x->filename), tm_model_text(b, y->filename));
    if (result || order->group == TM_GROUP_FILENAME)
        return result;
    if (order->group == TM_GROUP_FUNCTION)
        return compare_text(tm_model_text(a, x->name), tm_model_text(b, y->name));
    return (x->lineno > y->lineno) - (x->lineno < y->lineno);
}

static uint32_t collect(const struct tm_model *model, uint32_t stack, uint32_t *frames)
{
    uint32_t count = 0;
    for (; stack && count < model->frame_limit; stack = model->stacks[stack].parent)
        frames[count++] = model->stacks[stack].location;
    return count;
}

/* Like tuples of frames, the oldest first. */
static int compare_tracebacks(const struct order *order, const struct tm_difference *a, const struct tm_difference *b)
{
    uint32_t left = collect(order->models[!a->gone], a->stack, order->frames[0]);
    uint32_t right = collect(order->models[!b->gone], b->stack, order->frames[1]);
    while (left && right) {
        int result = compare_lines(order, a->gone, order->frames[0][--left], b->gone, order->frames[1][--right]);
        if (result)
            return result;
    }
    return (left > 0) - (right > 0);
}

static int descending(int64_t left, int64_t right)
{
    return (left < right) - (left > right);
}

static int64_t magnitude(int64_t value)
{
    return value < 0 ? tm_difference(0, value) : value;
}

static int compare(const void *left, const void *right, void *context)
{
    const struct tm_difference *a = left, *b = right;
    const struct order *order = context;
    int result = descending(magnitude(a->size_diff), magnitude(b->size_diff));
    if (!result)
        result = descending(a->size, b->size);
    if (!result)
        result = descending(magnitude(a->count_diff), magnitude(b->count_diff));
    if (!result)
        result = descending(a->count, b->count);
    if (!result && order->group == TM_GROUP_TRACEBACK)
        return -compare_tracebacks(order, a, b);
    return result ? result : -compare_lines(order, a->gone, a->location, b->gone, b->location);
}

/* ---- matching ------------------------------------------------------------------------------------------------------------ */

/* Which group an item is, whatever model it comes from. */
struct keys {
    const uint32_t *lines;
    struct tm_windows windows;
    bool by_window;
};

static struct tm_window_key key_of(const struct keys *keys, const struct tm_statistic *item)
{
    if (keys->by_window)
        return tm_window_key(&keys->windows, item->stack);
    return (struct tm_window_key){0, keys->lines[item->location]};
}

struct matcher {
    struct tm_statistics statistics[2]; /* old, new */
    uint32_t *lines[2];
    struct keys keys[2];
};

static struct tm_error *match(struct matcher *matcher, struct tm_differences *ret)
{
    const struct tm_statistics *old = &matcher->statistics[0], *fresh = &matcher->statistics[1];
    size_t size = 16;
    while (size < old->count * 2)
        size *= 2;
    size_t *table = calloc(size, sizeof(*table));
    struct tm_window_key *keys = malloc((old->count + 1) * sizeof(*keys));
    uint8_t *met = calloc(old->count + 1, 1);
    ret->items = malloc((old->count + fresh->count + 1) * sizeof(*ret->items));
    struct tm_error *error = table && keys && met && ret->items ? NULL : tm_error_no_memory();
    for (size_t i = 0; i < old->count && !error; i++) {
        keys[i] = key_of(&matcher->keys[0], &old->items[i]);
        size_t at = tm_mix(keys[i].high ^ keys[i].low) & (size - 1);
        while (table[at])
            at = (at + 1) & (size - 1);
        table[at] = i + 1;
    }
    for (size_t i = 0; i < fresh->count && !error; i++) {
        const struct tm_statistic *item = &fresh->items[i];
        struct tm_window_key key = key_of(&matcher->keys[1], item);
        size_t at = tm_mix(key.high ^ key.low) & (size - 1);
        while (table[at] && (keys[table[at] - 1].high != key.high || keys[table[at] - 1].low != key.low))
            at = (at + 1) & (size - 1);
        struct tm_difference *made = &ret->items[ret->count++];
        *made = (struct tm_difference){item->size,  item->size,     item->count, item->count,
                                       item->stack, item->location, false};
        if (table[at]) {
            const struct tm_statistic *previous = &old->items[table[at] - 1];
            met[table[at] - 1] = 1;
            made->size_diff = tm_difference(item->size, previous->size);
            made->count_diff = tm_difference(item->count, previous->count);
        }
    }
    for (size_t i = 0; i < old->count && !error; i++) {
        const struct tm_statistic *item = &old->items[i];
        if (!met[i])
            ret->items[ret->count++] = (struct tm_difference){
                0, tm_difference(0, item->size), 0, tm_difference(0, item->count), item->stack, item->location, true};
    }
    free(table);
    free(keys);
    free(met);
    return error;
}

static void sift_down(struct tm_difference *heap, size_t count, size_t at, struct order *order)
{
    for (;;) {
        size_t last = at, child = at * 2 + 1;
        for (size_t end = child + 2; child < end && child < count; child++) {
            if (compare(&heap[child], &heap[last], order) > 0)
                last = child;
        }
        if (last == at)
            return;
        struct tm_difference moved = heap[at];
        heap[at] = heap[last];
        heap[last] = moved;
        at = last;
    }
}

/* Brings the first ones to the front: a heap of them, the last of them on top, which whatever comes before it replaces. */
static void select_first(struct tm_difference *items, size_t count, size_t first, struct order *order)
{
    for (size_t at = first / 2; at-- > 0;)
        sift_down(items, first, at, order);
    for (size_t i = first; i < count; i++) {
        if (compare(&items[i], &items[0], order) >= 0)
            continue;
        struct tm_difference moved = items[0];
        items[0] = items[i];
        items[i] = moved;
        sift_down(items, first, 0, order);
    }
}

static struct tm_error *sort(struct order *order, size_t first, struct tm_differences *ret)
{
    size_t longest = 1; /* traceback: of a damaged table, the limit may be anything */
    for (int i = 0; i < 2; i++) {
        const struct tm_model *model = order->models[i];
        uint32_t limit = model->frame_limit < model->stack_count ? model->frame_limit : model->stack_count;
        longest = longest > limit ? longest : limit;
    }
    for (int i = 0; i < 2; i++)
        order->frames[i] = malloc(longest * sizeof(*order->frames[i]));
    struct tm_error *error = order->frames[0] && order->frames[1] ? NULL : tm_error_no_memory();
    if (!first || first > ret->count)
        first = ret->count;
    if (!error && first < ret->count)
        select_first(ret->items, ret->count, first, order);
    if (!error)
        qsort_r(ret->items, first, sizeof(*ret->items), compare, order);
    free(order->frames[0]);
    free(order->frames[1]);
    return error;
}

struct tm_error *tm_differences_make(const struct tm_side *old, const struct tm_side *fresh, enum tm_group group,
                                     bool cumulative, struct tm_differences *ret)
{
    return tm_differences_first(old, fresh, group, cumulative, 0, ret);
}

struct tm_error *tm_differences_first(const struct tm_side *old, const struct tm_side *fresh, enum tm_group group,
                                      bool cumulative, size_t first, struct tm_differences *ret)
{
    const struct tm_side *sides[2] = {old, fresh};
    struct order order = {.models = {old->model, fresh->model}, .group = group};
    struct matcher matcher = {0};
    *ret = (struct tm_differences){.group = group};
    struct tm_error *error = tm_number_lines(order.models, 2, group, matcher.lines);
    for (int i = 0; i < 2 && !error; i++) {
        error = tm_statistics_make(sides[i]->model, sides[i]->totals, group, cumulative, TM_ANY_ORDER,
                                   &matcher.statistics[i]);
        matcher.keys[i].lines = matcher.lines[i];
        if (!error && group == TM_GROUP_TRACEBACK) {
            error = tm_windows_init(&matcher.keys[i].windows, sides[i]->model, matcher.lines[i], true);
            matcher.keys[i].by_window = !error;
        }
    }
    if (!error)
        error = match(&matcher, ret);
    if (!error)
        error = sort(&order, first, ret);
    for (int i = 0; i < 2; i++) {
        if (matcher.keys[i].by_window)
            tm_windows_deinit(&matcher.keys[i].windows);
        tm_statistics_free(&matcher.statistics[i]);
        free(matcher.lines[i]);
    }
    if (error)
        tm_differences_free(ret);
    return error;
}

void tm_differences_free(struct tm_differences *differences)
{
    free(differences->items);
    *differences = (struct tm_differences){0};
}
