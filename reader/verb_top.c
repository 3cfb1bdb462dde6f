/* SPDX-License-Identifier: MIT */
/* top: which lines hold the memory. */
#include <inttypes.h>

#include "json.h"
#include "request.h"
#include "statistics.h"

static void print_numbers(struct tm_text *text, int64_t size, int64_t count)
{
    tm_text_print(text, "size=");
    tm_text_add_size(text, (double)size, false);
    tm_text_print(text, ", count=%" PRId64, count);
    if (count) {
        tm_text_print(text, ", average=");
        tm_text_add_size(text, (double)size / (double)count, false);
    }
    tm_text_print(text, "\n");
}

static void print_statistic(struct tm_request *request, const struct tm_statistic *item)
{
    const struct tm_model *model = request->model;
    const struct tm_model_location *place = &model->locations[item->location];
    struct tm_text *text = &request->output->text;
    switch (request->group) {
    case TM_GROUP_FILENAME:
        tm_text_add_name(text, tm_model_text(model, place->filename));
        tm_text_print(text, ":0");
        break;
    case TM_GROUP_FUNCTION:
        tm_text_add_name(text, tm_model_text(model, place->name));
        tm_text_print(text, " (");
        tm_text_add_name(text, tm_model_text(model, place->filename));
        tm_text_print(text, ")");
        break;
    default:
        tm_print_place(request, item->location);
    }
    tm_text_print(text, ": ");
    print_numbers(text, item->size, item->count);
    if (request->group == TM_GROUP_LINENO)
        tm_print_source_line(request, item->location, "    ");
    else if (request->group == TM_GROUP_TRACEBACK)
        tm_print_traceback(request, item->stack, "");
    tm_output_some(request->output);
}

static void print_text(struct tm_request *request, const struct tm_statistics *statistics)
{
    struct tm_text *text = &request->output->text;
    tm_print_header(request);
    tm_text_print(text, "\n");
    for (size_t i = 0; i < statistics->count; i++)
        print_statistic(request, &statistics->items[i]);
    if (!statistics->groups)
        tm_text_print(text, "no live blocks\n");
    if (statistics->groups > statistics->count) {
        tm_text_print(text, "%zu other: ", statistics->groups - statistics->count);
        print_numbers(text, statistics->rest_size, statistics->rest_count);
    }
}

static struct tm_error *print_json(struct tm_request *request, const struct tm_statistics *statistics)
{
    const struct tm_model *model = request->model;
    struct json_object *answer = json_object_new_object(), *items = json_object_new_array();
    tm_json_put_source(answer, model);
    tm_json_put(answer, "group_by", json_object_new_string(tm_group_names[request->group]));
    if (request->cumulative)
        tm_json_put(answer, "cumulative", json_object_new_boolean(1));
    tm_json_put_total(answer, model);
    for (size_t i = 0; i < statistics->count; i++) {
        const struct tm_statistic *item = &statistics->items[i];
        struct json_object *entry = json_object_new_object(), *frames;
        tm_json_put(entry, "size", json_object_new_int64(item->size));
        tm_json_put(entry, "count", json_object_new_int64(item->count));
        if (request->group == TM_GROUP_TRACEBACK) {
            frames = tm_json_traceback(model, item->stack);
        } else {
            frames = json_object_new_array();
            json_object_array_add(frames, tm_json_frame(model, item->location, request->group == TM_GROUP_LINENO,
                                                        request->group != TM_GROUP_FILENAME));
        }
        tm_json_put(entry, "traceback", frames);
        json_object_array_add(items, entry);
    }
    tm_json_put(answer, "stats", items);
    tm_json_put_incomplete(answer, model);
    return tm_json_write(answer, request->output);
}

struct tm_error *tm_run_top(struct tm_request *request)
{
    if (request->group == TM_GROUP_TRACEBACK && request->cumulative)
        return tm_error_try(
            tm_error_because(tm_error(TM_ERROR_USAGE, "--cumulative cannot be used with --by traceback"),
                             "a block has one traceback, but many lines"),
            "--by lineno, filename or function");
    if (request->group == TM_GROUP_FUNCTION && !request->model->has_names)
        return tm_error_try(tm_error_because(tm_error(TM_ERROR_USAGE, "the functions are not known"),
                                             "%s records files and lines only", request->model->tracer),
                            "--by lineno");
    size_t limit = request->all ? 0 : request->limit ? request->limit : 10;
    struct tm_statistics statistics;
    struct tm_error *error =
        tm_statistics_make(request->model, NULL, request->group, request->cumulative, limit, &statistics);
    if (error)
        return error;
    if (request->json)
        error = print_json(request, &statistics);
    else
        print_text(request, &statistics);
    tm_statistics_free(&statistics);
    return error;
}
