/* SPDX-License-Identifier: MIT */
/* top: which lines hold the memory. */
#include <inttypes.h>

#include "grid.h"
#include "json.h"
#include "request.h"
#include "statistics.h"

static void print_statistic(struct tm_request *request, const struct tm_statistic *item)
{
    struct tm_text *text = &request->output->text;
    tm_text_group(text, request->model, request->group, item->location);
    tm_text_print(text, ": ");
    tm_text_numbers(text, item->size, item->count);
    tm_text_print(text, "\n");
    if (request->group == TM_GROUP_LINENO)
        tm_print_source_line(request, item->location, "    ");
    else if (request->group == TM_GROUP_TRACEBACK)
        tm_print_traceback(request, item->stack, "");
    tm_output_some(request->output);
}

static struct tm_error *print_grid(struct tm_request *request, const struct tm_statistics *statistics)
{
    static const struct tm_grid_column columns[] = {
        {"SIZE", TM_GRID_NUMBER}, {"BLOCKS", TM_GRID_NUMBER}, {"AVERAGE", TM_GRID_NUMBER},
        {"WHERE", TM_GRID_PLACE}, {"SOURCE", TM_GRID_ASIDE},
    };
    bool lines = request->group == TM_GROUP_LINENO && !request->no_source;
    struct tm_grid *grid = NULL;
    struct tm_text row = {0};
    struct tm_error *error = tm_grid_create(request, columns, lines ? 5 : 4, &grid);
    for (size_t i = 0; i < statistics->count && !error; i++) {
        const struct tm_statistic *item = &statistics->items[i];
        tm_text_add_size(&row, (double)item->size, false);
        tm_grid_next(&row);
        tm_text_print(&row, "%" PRId64, item->count);
        tm_grid_next(&row);
        if (item->count)
            tm_text_add_size(&row, (double)item->size / (double)item->count, false);
        tm_grid_next(&row);
        tm_text_group(&row, request->model, request->group, item->location);
        tm_grid_next(&row);
        if (lines)
            tm_text_source_line(&row, request, item->location);
        tm_grid_next(&row);
        error = tm_grid_row(grid, &row);
    }
    return tm_grid_end(grid, &row, error, request->output);
}

static struct tm_error *print_text(struct tm_request *request, const struct tm_statistics *statistics)
{
    struct tm_text *text = &request->output->text;
    tm_print_header(request);
    tm_text_print(text, "\n");
    struct tm_error *error = NULL;
    bool grid = tm_grid_wanted(request) && request->group != TM_GROUP_TRACEBACK;
    if (grid)
        error = print_grid(request, statistics);
    for (size_t i = 0; i < statistics->count && !grid && !request->output->closed; i++)
        print_statistic(request, &statistics->items[i]);
    if (!statistics->groups)
        tm_text_print(text, "no live blocks\n");
    if (statistics->groups > statistics->count) {
        tm_text_print(text, "%zu other: ", statistics->groups - statistics->count);
        tm_text_numbers(text, statistics->rest_size, statistics->rest_count);
        tm_text_print(text, "\n");
    }
    return error;
}

static struct tm_error *print_json(struct tm_request *request, const struct tm_statistics *statistics)
{
    const struct tm_model *model = request->model;
    struct json_object *answer = json_object_new_object();
    struct tm_json_list list;
    tm_json_put_source(answer, model);
    tm_json_put(answer, "group_by", json_object_new_string(tm_group_names[request->group]));
    if (request->cumulative)
        tm_json_put(answer, "cumulative", json_object_new_boolean(1));
    tm_json_put_total(answer, model);
    tm_json_put_selected(answer, request);
    tm_json_put_incomplete(answer, model);
    struct tm_error *error = tm_json_begin(answer, "stats", request->output, &list);
    for (size_t i = 0; i < statistics->count && !error; i++) {
        if (!tm_json_item(&list, tm_json_statistic(model, request->group, &statistics->items[i])))
            break;
    }
    return error ? error : tm_json_end(&list);
}

struct tm_error *tm_run_top(struct tm_request *request)
{
    size_t limit = request->all ? 0 : request->limit ? request->limit : 10;
    struct tm_statistics statistics;
    struct tm_error *error = tm_request_check_group(request);
    if (!error)
        error = tm_statistics_make(request->model, tm_request_totals(request), request->group, request->cumulative,
                                   limit, &statistics);
    if (error)
        return error;
    error = request->json ? print_json(request, &statistics) : print_text(request, &statistics);
    tm_statistics_free(&statistics);
    return error;
}
