/* SPDX-License-Identifier: MIT */
/* diff: what has changed since another core, process or snapshot, as tracemalloc's compare_to(). */
#include <inttypes.h>
#include <stdlib.h>

#include "differences.h"
#include "grid.h"
#include "json.h"
#include "request.h"

static const struct tm_model *model_of(const struct tm_request *request, const struct tm_source *old,
                                       const struct tm_difference *item)
{
    return item->gone ? old->model : request->model;
}

/* ---- text ----------------------------------------------------------------------------------------------------------- */

static void print_side(struct tm_text *text, const char *which, const struct tm_model *model,
                       const struct tm_selection *selection)
{
    char *source = tm_model_source(model);
    tm_text_print(text, "%s %s: %s", which, source ? source : "", model->incomplete_count ? "at least " : "");
    free(source);
    tm_text_add_size(text, selection ? (double)selection->size : (double)model->size, false);
    tm_text_print(text, " in %" PRIu64 " blocks%s\n", selection ? (uint64_t)selection->count : model->count,
                  selection ? " selected" : "");
    size_t notes = tm_model_notes(model);
    for (size_t i = 0; i < notes; i++)
        tm_text_print(text, "  %s\n", model->incomplete[i]);
}

static void print_plain(struct tm_request *request, const struct tm_model *model, const struct tm_difference *item)
{
    struct tm_text *text = &request->output->text;
    tm_text_group(text, model, request->group, item->location);
    tm_text_print(text, ": size=");
    tm_text_add_size(text, (double)item->size, false);
    tm_text_print(text, " (");
    tm_text_add_size(text, (double)item->size_diff, true);
    tm_text_print(text, "), count=%" PRId64 " (%+" PRId64 ")", item->count, item->count_diff);
    if (item->count) {
        tm_text_print(text, ", average=");
        tm_text_add_size(text, (double)item->size / (double)item->count, false);
    }
    tm_text_print(text, "\n");
}

static void print_source(struct tm_request *request, const struct tm_source *old, const struct tm_difference *item)
{
    /* Lines and tracebacks are printed of the request's model. */
    struct tm_request of = *request;
    if (item->gone) {
        of.model = old->model;
        of.lines = NULL;
    }
    if (request->group == TM_GROUP_LINENO)
        tm_print_source_line(&of, item->location, "    ");
    else if (request->group == TM_GROUP_TRACEBACK)
        tm_print_traceback(&of, item->stack, "");
    if (item->gone)
        tm_lines_destroy(of.lines);
    else
        request->lines = of.lines;
}

static struct tm_error *print_grid(struct tm_request *request, const struct tm_source *old,
                                   const struct tm_differences *differences, size_t shown)
{
    static const struct tm_grid_column columns[] = {
        {"CHANGE", TM_GRID_NUMBER}, {"SIZE", TM_GRID_NUMBER}, {"BLOCKS", TM_GRID_NUMBER},
        {"COUNT", TM_GRID_NUMBER},  {"WHERE", TM_GRID_PLACE},
    };
    struct tm_grid *grid = NULL;
    struct tm_text row = {0};
    struct tm_error *error = tm_grid_create(request, columns, sizeof(columns) / sizeof(columns[0]), &grid);
    for (size_t i = 0; i < shown && !error; i++) {
        const struct tm_difference *item = &differences->items[i];
        tm_text_add_size(&row, (double)item->size_diff, true);
        tm_grid_next(&row);
        tm_text_add_size(&row, (double)item->size, false);
        tm_grid_next(&row);
        tm_text_print(&row, "%+" PRId64, item->count_diff);
        tm_grid_next(&row);
        tm_text_print(&row, "%" PRId64, item->count);
        tm_grid_next(&row);
        tm_text_group(&row, model_of(request, old, item), request->group, item->location);
        tm_grid_next(&row);
        error = tm_grid_row(grid, &row);
    }
    return tm_grid_end(grid, &row, error, request->output);
}

static struct tm_error *print_text(struct tm_request *request, const struct tm_source *old,
                                   const struct tm_differences *differences, size_t shown)
{
    struct tm_text *text = &request->output->text;
    struct tm_error *error = NULL;
    print_side(text, "old:", old->model, old->selection);
    print_side(text, "new:", request->model, request->selection);
    tm_text_print(text, "\n");
    if (!differences->count)
        tm_text_print(text, "no live blocks\n");
    if (tm_grid_wanted(request) && request->group != TM_GROUP_TRACEBACK) {
        error = print_grid(request, old, differences, shown);
    } else {
        for (size_t i = 0; i < shown && !request->output->closed; i++) {
            const struct tm_difference *item = &differences->items[i];
            print_plain(request, model_of(request, old, item), item);
            print_source(request, old, item);
            tm_output_some(request->output);
        }
    }
    int64_t size = 0, count = 0;
    for (size_t i = shown; i < differences->count; i++) {
        size = tm_sum(size, differences->items[i].size_diff);
        count = tm_sum(count, differences->items[i].count_diff);
    }
    if (shown < differences->count) {
        tm_text_print(text, "%zu other: ", differences->count - shown);
        tm_text_add_size(text, (double)size, true);
        tm_text_print(text, " in %+" PRId64 " blocks\n", count);
    }
    return error;
}

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

static struct json_object *json_side(const struct tm_model *model, const struct tm_selection *selection)
{
    struct tm_request request = {.selection = (struct tm_selection *)selection};
    struct json_object *object = json_object_new_object();
    tm_json_put_source(object, model);
    tm_json_put_total(object, model);
    tm_json_put_selected(object, &request);
    tm_json_put_incomplete(object, model);
    return object;
}

static struct tm_error *print_json(struct tm_request *request, const struct tm_source *old,
                                   const struct tm_differences *differences, size_t shown)
{
    struct json_object *answer = json_object_new_object();
    struct tm_json_list list;
    tm_json_put(answer, "old", json_side(old->model, old->selection));
    tm_json_put(answer, "new", json_side(request->model, request->selection));
    tm_json_put(answer, "group_by", json_object_new_string(tm_group_names[request->group]));
    if (request->cumulative)
        tm_json_put(answer, "cumulative", json_object_new_boolean(1));
    struct tm_error *error = tm_json_begin(answer, "stats", request->output, &list);
    for (size_t i = 0; i < shown && !error; i++) {
        const struct tm_difference *item = &differences->items[i];
        struct json_object *entry = json_object_new_object();
        tm_json_put(entry, "size", json_object_new_int64(item->size));
        tm_json_put(entry, "size_diff", json_object_new_int64(item->size_diff));
        tm_json_put(entry, "count", json_object_new_int64(item->count));
        tm_json_put(entry, "count_diff", json_object_new_int64(item->count_diff));
        tm_json_put(entry, "traceback",
                    tm_json_group(model_of(request, old, item), request->group, item->stack, item->location));
        if (!tm_json_item(&list, entry))
            break;
    }
    return error ? error : tm_json_end(&list);
}

struct tm_error *tm_run_diff(struct tm_request *request)
{
    struct tm_source old;
    struct tm_differences differences = {0};
    size_t limit = request->limit ? request->limit : 10;
    struct tm_error *error = tm_request_check_group(request);
    if (error)
        return error;
    error = tm_request_open_old(request, &old);
    if (!error && request->group == TM_GROUP_FUNCTION && !old.model->has_names)
        error =
            tm_error_try(tm_error(TM_ERROR_USAGE, "the functions are not known in %s", request->old), "--by lineno");
    const struct tm_side before = {old.model, old.selection ? old.selection->totals : NULL};
    const struct tm_side after = {request->model, tm_request_totals(request)};
    if (!error)
        error = tm_differences_first(&before, &after, request->group, request->cumulative, request->all ? 0 : limit,
                                     &differences);
    size_t shown = request->all || limit > differences.count ? differences.count : limit;
    if (!error)
        error = request->json ? print_json(request, &old, &differences, shown)
                              : print_text(request, &old, &differences, shown);
    tm_differences_free(&differences);
    tm_source_close(&old);
    return error;
}
