/* SPDX-License-Identifier: MIT */
/* sizes: how many blocks there are of which size, all together or for each of the biggest groups. */
#include <inttypes.h>
#include <stdio.h>

#include "grid.h"
#include "json.h"
#include "request.h"
#include "size_classes.h"

const char *const tm_per_names[] = {"all", "lineno", "filename", "function", "traceback", NULL};

struct answer {
    struct tm_request *request;
    const struct tm_statistics *statistics; /* NULL: everything together */
    const struct tm_size_classes *classes;
};

static void class_text(struct tm_text *text, uint32_t class)
{
    if (class == 0) {
        tm_text_print(text, "0 B");
    } else if (class == TM_SIZE_CLASSES - 1) {
        tm_text_print(text, "more");
    } else {
        tm_text_print(text, "up to ");
        uint64_t limit = tm_size_class_limit(class);
        static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        uint32_t unit = 0;
        for (; limit >= 1024; limit /= 1024)
            unit++;
        tm_text_print(text, "%" PRIu64 " %s", limit, units[unit]);
    }
}

static void print_group_name(const struct answer *answer, size_t group)
{
    const struct tm_request *request = answer->request;
    const struct tm_statistic *item = &answer->statistics->items[group];
    struct tm_text *text = &request->output->text;
    tm_text_group(text, request->model, answer->statistics->group, item->location);
    tm_text_print(text, ": ");
    tm_text_numbers(text, item->size, item->count);
    tm_text_print(text, "\n");
    if (answer->statistics->group == TM_GROUP_TRACEBACK)
        tm_print_traceback(answer->request, item->stack, "");
}

static struct tm_error *print_plain(const struct answer *answer, const struct tm_total *totals)
{
    struct tm_text *text = &answer->request->output->text;
    for (uint32_t class = 0; class < TM_SIZE_CLASSES; class ++) {
        const struct tm_total *total = &totals[class];
        if (!total->blocks)
            continue;
        tm_text_print(text, "%s", answer->statistics ? "    " : "");
        class_text(text, class);
        tm_text_print(text, ": ");
        tm_text_numbers(text, total->bytes, total->blocks);
        tm_text_print(text, "\n");
    }
    tm_output_some(answer->request->output);
    return NULL;
}

static struct tm_error *print_grid(const struct answer *answer, const struct tm_total *totals)
{
    static const struct tm_grid_column columns[] = {
        {"BLOCKS OF", TM_GRID_NUMBER}, {"SIZE", TM_GRID_NUMBER}, {"COUNT", TM_GRID_NUMBER},
        {"AVERAGE", TM_GRID_NUMBER},   {"SHARE", TM_GRID_ASIDE},
    };
    struct tm_grid *grid = NULL;
    struct tm_text row = {0};
    int64_t most = 1;
    for (uint32_t class = 0; class < TM_SIZE_CLASSES; class ++)
        most = totals[class].bytes > most ? totals[class].bytes : most;
    struct tm_error *error = tm_grid_create(answer->request, columns, sizeof(columns) / sizeof(columns[0]), &grid);
    for (uint32_t class = 0; class < TM_SIZE_CLASSES && !error; class ++) {
        const struct tm_total *total = &totals[class];
        if (!total->blocks)
            continue;
        class_text(&row, class);
        tm_grid_next(&row);
        tm_text_add_size(&row, (double)total->bytes, false);
        tm_grid_next(&row);
        tm_text_print(&row, "%" PRId64, total->blocks);
        tm_grid_next(&row);
        tm_text_add_size(&row, (double)total->bytes / (double)total->blocks, false);
        tm_grid_next(&row);
        for (int64_t i = 0; i < total->bytes / (most / 24 + 1); i++)
            tm_text_print(&row, "#");
        tm_grid_next(&row);
        error = tm_grid_row(grid, &row);
    }
    return tm_grid_end(grid, &row, error, answer->request->output);
}

static struct tm_error *print_text(const struct answer *answer)
{
    struct tm_text *text = &answer->request->output->text;
    struct tm_error *error = NULL;
    int64_t blocks = 0;
    tm_print_header(answer->request);
    tm_text_print(text, "\n");
    for (size_t i = 0; i < answer->classes->groups && !error; i++) {
        const struct tm_total *totals = &answer->classes->totals[i * TM_SIZE_CLASSES];
        for (uint32_t class = 0; class < TM_SIZE_CLASSES; class ++)
            blocks += totals[class].blocks != 0;
        if (answer->statistics)
            print_group_name(answer, i);
        error = tm_grid_wanted(answer->request) ? print_grid(answer, totals) : print_plain(answer, totals);
    }
    if (!blocks)
        tm_text_print(text, "no live blocks%s\n", answer->request->min_size ? " of that size" : "");
    return error;
}

static struct json_object *json_classes(const struct tm_total *totals)
{
    struct json_object *classes = json_object_new_array();
    for (uint32_t class = 0; class < TM_SIZE_CLASSES; class ++) {
        if (!totals[class].blocks)
            continue;
        struct json_object *entry = json_object_new_object();
        tm_json_put(entry, "up_to",
                    class < TM_SIZE_CLASSES - 1 ? json_object_new_uint64(tm_size_class_limit(class)) : NULL);
        tm_json_put(entry, "size", json_object_new_int64(totals[class].bytes));
        tm_json_put(entry, "count", json_object_new_int64(totals[class].blocks));
        json_object_array_add(classes, entry);
    }
    return classes;
}

static struct tm_error *print_json(const struct answer *answer)
{
    const struct tm_request *request = answer->request;
    struct json_object *object = json_object_new_object(), *stats = json_object_new_array();
    tm_json_put_source(object, request->model);
    tm_json_put(object, "group_by", json_object_new_string(tm_per_names[request->per]));
    tm_json_put_total(object, request->model);
    tm_json_put_selected(object, request);
    for (size_t i = 0; i < answer->classes->groups; i++) {
        struct json_object *entry = json_object_new_object();
        if (answer->statistics) {
            const struct tm_statistic *item = &answer->statistics->items[i];
            tm_json_put(entry, "size", json_object_new_int64(item->size));
            tm_json_put(entry, "count", json_object_new_int64(item->count));
            tm_json_put(entry, "traceback",
                        tm_json_group(request->model, answer->statistics->group, item->stack, item->location));
        }
        tm_json_put(entry, "classes", json_classes(&answer->classes->totals[i * TM_SIZE_CLASSES]));
        json_object_array_add(stats, entry);
    }
    tm_json_put(object, "stats", stats);
    tm_json_put_incomplete(object, request->model);
    return tm_json_write(object, request->output);
}

struct tm_error *tm_run_sizes(struct tm_request *request)
{
    struct tm_statistics statistics = {0};
    struct tm_size_classes classes = {0};
    struct tm_error *error = NULL;
    if (request->per) {
        size_t limit = request->all ? 0 : request->limit ? request->limit : 10;
        request->group = request->per - 1;
        error = tm_request_needs_names(request);
        if (!error)
            error = tm_statistics_make(request->model, tm_request_totals(request), request->group, false, limit,
                                       &statistics);
    }
    if (!error)
        error = tm_size_classes_make(request->model, request->selection, request->min_size,
                                     request->per ? &statistics : NULL, &classes);
    const struct answer answer = {request, request->per ? &statistics : NULL, &classes};
    if (!error)
        error = request->json ? print_json(&answer) : print_text(&answer);
    tm_size_classes_free(&classes);
    tm_statistics_free(&statistics);
    return error;
}
