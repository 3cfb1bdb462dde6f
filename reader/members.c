/* SPDX-License-Identifier: MIT */
/* Which stacks a group consists of. */
#include <stdlib.h>
#include <string.h>

#include "differences.h"
#include "string_table.h"
#include "windows.h"

#define NONE UINT32_MAX

static struct tm_error *by_line(const struct tm_model *model, const struct tm_statistics *statistics,
                                const uint32_t *lines, uint32_t *members)
{
    uint32_t *item_of = malloc(model->location_count * sizeof(*item_of)); /* lines are at most as many as locations */
    if (!item_of)
        return tm_error_no_memory();
    memset(item_of, 0xff, model->location_count * sizeof(*item_of));
    for (size_t i = 0; i < statistics->count; i++)
        item_of[lines[statistics->items[i].location]] = (uint32_t)i;
    for (uint32_t i = 0; i < model->stack_count; i++)
        members[i] = item_of[lines[model->stacks[i].location]];
    free(item_of);
    return NULL;
}

static struct tm_error *by_traceback(const struct tm_model *model, const struct tm_statistics *statistics,
                                     const uint32_t *lines, uint32_t *members)
{
    size_t size = 16;
    while (size < statistics->count * 2)
        size *= 2;
    struct tm_windows windows;
    uint32_t *table = calloc(size, sizeof(*table)); /* item + 1 */
    if (!table)
        return tm_error_no_memory();
    struct tm_error *error = tm_windows_init(&windows, model, lines, true);
    if (error) {
        free(table);
        return error;
    }
    for (size_t i = 0; i < statistics->count; i++) {
        struct tm_window_key key = tm_window_key(&windows, statistics->items[i].stack);
        size_t at = tm_mix(key.high ^ key.low) & (size - 1);
        while (table[at])
            at = (at + 1) & (size - 1);
        table[at] = (uint32_t)i + 1;
    }
    for (uint32_t i = 0; i < model->stack_count; i++) {
        struct tm_window_key key = tm_window_key(&windows, i), other;
        members[i] = NONE;
        for (size_t at = tm_mix(key.high ^ key.low) & (size - 1); table[at]; at = (at + 1) & (size - 1)) {
            other = tm_window_key(&windows, statistics->items[table[at] - 1].stack);
            if (other.high == key.high && other.low == key.low) {
                members[i] = table[at] - 1;
                break;
            }
        }
    }
    tm_windows_deinit(&windows);
    free(table);
    return NULL;
}

struct tm_error *tm_statistics_members(const struct tm_model *model, const struct tm_statistics *statistics,
                                       uint32_t **ret)
{
    uint32_t *lines = NULL, *members = malloc(model->stack_count * sizeof(*members));
    struct tm_error *error = members ? tm_number_lines(&model, 1, statistics->group, &lines) : tm_error_no_memory();
    if (!error)
        error = statistics->group == TM_GROUP_TRACEBACK ? by_traceback(model, statistics, lines, members)
                                                        : by_line(model, statistics, lines, members);
    free(lines);
    if (error)
        free(members);
    else
        *ret = members;
    return error;
}
