/* SPDX-License-Identifier: MIT */
/* What verbs have in common when they answer: the header, places, tracebacks; as text and as JSON. */
#define _GNU_SOURCE /* sigabbrev_np */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "request.h"
#include "statistics.h"

/* ---- text ----------------------------------------------------------------------------------------------------------- */

void tm_print_header(struct tm_request *request)
{
    const struct tm_model *model = request->model;
    struct tm_text *text = &request->output->text;
    char *source = tm_model_source(model);
    tm_text_print(text, "%s%s%s, %" PRIu32 " frame%s%s\n", source ? source : "", model->tracer_version[0] ? " " : "",
                  model->tracer_version, model->frame_limit, model->frame_limit == 1 ? "" : "s",
                  model->tracing ? "" : ", stopped");
    free(source);
    tm_text_print(text, "%s", model->incomplete_count ? "at least " : "");
    tm_text_add_size(text, (double)model->size, false);
    tm_text_print(text, " in %" PRIu64 " blocks, peak ", model->count);
    tm_text_add_size(text, (double)model->peak, false);
    if (model->lost)
        tm_text_print(text, ", %" PRIu64 " allocations lost", model->lost);
    tm_text_print(text, "\n");
    if (request->selection) {
        tm_text_print(text, "selected: ");
        tm_text_add_size(text, (double)request->selection->size, false);
        tm_text_print(text, " in %" PRId64 " blocks\n", request->selection->count);
    }
    if (model->incomplete_count)
        tm_text_print(text, "lower bound: part of the table is missing\n");
    size_t notes = tm_model_notes(model);
    for (size_t i = 0; i < notes; i++)
        tm_text_print(text, "  %s\n", model->incomplete[i]);
    if (notes < model->incomplete_count)
        tm_text_print(text, "  and %zu more\n", model->incomplete_count - notes);
}

void tm_text_group(struct tm_text *text, const struct tm_model *model, uint32_t group, uint32_t location)
{
    const struct tm_model_location *place = &model->locations[location];
    if (group == TM_GROUP_FUNCTION) {
        tm_text_add_name(text, tm_model_text(model, place->name));
        tm_text_print(text, " (");
        tm_text_add_name(text, tm_model_text(model, place->filename));
        tm_text_print(text, ")");
        return;
    }
    tm_text_add_name(text, tm_model_text(model, place->filename));
    tm_text_print(text, ":%" PRIu32, group == TM_GROUP_FILENAME ? 0 : place->lineno);
}

void tm_text_numbers(struct tm_text *text, int64_t size, int64_t count)
{
    tm_text_print(text, "size=");
    tm_text_add_size(text, (double)size, false);
    tm_text_print(text, ", count=%" PRId64, count);
    if (count) {
        tm_text_print(text, ", average=");
        tm_text_add_size(text, (double)size / (double)count, false);
    }
}

void tm_text_time(struct tm_text *text, time_t seconds)
{
    char moment[32];
    struct tm parts;
    if (gmtime_r(&seconds, &parts) && strftime(moment, sizeof(moment), "%Y-%m-%dT%H:%M:%SZ", &parts))
        tm_text_print(text, "%s", moment);
}

void tm_text_signal(struct tm_text *text, int number)
{
    const char *name = number > 0 ? sigabbrev_np(number) : NULL;
    tm_text_print(text, name ? "signal %d (SIG%s)" : "signal %d", number, name);
}

void tm_print_place(struct tm_request *request, uint32_t location)
{
    tm_text_group(&request->output->text, request->model, TM_GROUP_LINENO, location);
}

void tm_print_file(struct tm_request *request, uint64_t size)
{
    struct tm_text *text = &request->output->text;
    tm_text_add_name(text, (struct tm_string_ref){request->file, (uint32_t)strlen(request->file)});
    tm_text_print(text, ": ");
    tm_text_add_size(text, (double)size, false);
    tm_text_print(text, "\n");
}

void tm_text_source_line(struct tm_text *text, struct tm_request *request, uint32_t location)
{
    const struct tm_model_location *place = &request->model->locations[location];
    if (request->no_source)
        return;
    if (!request->lines)
        request->lines = tm_lines_create(request->model);
    tm_text_add_name(text, tm_lines_get(request->lines, place->filename, place->lineno));
}

void tm_print_source_line(struct tm_request *request, uint32_t location, const char *indent)
{
    struct tm_text *text = &request->output->text;
    size_t before = text->size;
    tm_text_print(text, "%s", indent);
    size_t start = text->size;
    tm_text_source_line(text, request, location);
    if (text->size > start)
        tm_text_print(text, "\n");
    else
        tm_text_cut(text, before);
}

static void print_frame(struct tm_request *request, uint32_t location, const char *indent)
{
    const struct tm_model *model = request->model;
    const struct tm_model_location *place = &model->locations[location];
    struct tm_text *text = &request->output->text;
    tm_text_print(text, "%s  File \"", indent);
    tm_text_add_name(text, tm_model_text(model, place->filename));
    tm_text_print(text, "\", line %" PRIu32, place->lineno);
    if (place->name) {
        tm_text_print(text, ", in ");
        tm_text_add_name(text, tm_model_text(model, place->name));
    }
    tm_text_print(text, "\n");
    tm_print_source_line(request, location, indent[0] ? "        " : "    ");
    tm_output_some(request->output);
}

void tm_print_traceback(struct tm_request *request, uint32_t stack, const char *indent)
{
    const struct tm_model *model = request->model;
    uint32_t limit = model->frame_limit, count = 0, room = 0, *frames = NULL;
    for (; stack && count < limit; stack = model->stacks[stack].parent) {
        if (count == room) {
            room = room ? room * 2 : 64;
            uint32_t *more = reallocarray(frames, room, sizeof(*frames));
            if (!more)
                break;
            frames = more;
        }
        frames[count++] = model->stacks[stack].location;
    }
    if (!count)
        print_frame(request, 0, indent);
    while (count)
        print_frame(request, frames[--count], indent);
    free(frames);
}

struct tm_error *tm_request_needs_names(const struct tm_request *request)
{
    if (request->group != TM_GROUP_FUNCTION || request->model->has_names)
        return NULL;
    return tm_error_try(tm_error_because(tm_error(TM_ERROR_USAGE, "the functions are not known"),
                                         "%s records files and lines only", request->model->tracer),
                        "--by lineno");
}

struct tm_error *tm_request_check_group(const struct tm_request *request)
{
    if (request->group == TM_GROUP_TRACEBACK && request->cumulative)
        return tm_error_try(
            tm_error_because(tm_error(TM_ERROR_USAGE, "--cumulative cannot be used with --by traceback"),
                             "a block has one traceback, but many lines"),
            "--by lineno, filename or function");
    return tm_request_needs_names(request);
}

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

struct json_object *tm_json_frame(const struct tm_model *model, uint32_t location, bool lineno, bool name)
{
    const struct tm_model_location *place = &model->locations[location];
    struct json_object *frame = json_object_new_object();
    tm_json_put(frame, "filename", tm_json_name(tm_model_text(model, place->filename)));
    tm_json_put(frame, "lineno", json_object_new_int64(lineno ? place->lineno : 0));
    tm_json_put(frame, "name", name && place->name ? tm_json_name(tm_model_text(model, place->name)) : NULL);
    return frame;
}

struct json_object *tm_json_group(const struct tm_model *model, uint32_t group, uint32_t stack, uint32_t location)
{
    if (group == TM_GROUP_TRACEBACK)
        return tm_json_traceback(model, stack);
    struct json_object *frames = json_object_new_array();
    json_object_array_add(frames, tm_json_frame(model, location, group == TM_GROUP_LINENO, group != TM_GROUP_FILENAME));
    return frames;
}

struct json_object *tm_json_time(time_t seconds)
{
    struct tm_text text = {0};
    tm_text_time(&text, seconds);
    struct json_object *object = text.size ? json_object_new_string(text.bytes) : NULL;
    tm_text_free(&text);
    return object;
}

void tm_json_put_process(struct json_object *object, const struct tm_model *model)
{
    const struct tm_target *target = model->target;
    const char *program = target ? target->program : NULL;
    tm_json_put_source(object, model);
    tm_json_put(object, "pid", json_object_new_int64(model->pid));
    tm_json_put(object, "program",
                program ? tm_json_name((struct tm_string_ref){program, (uint32_t)strlen(program)}) : NULL);
    tm_json_put(object, "signal", target && target->signal ? json_object_new_int64(target->signal) : NULL);
    tm_json_put(object, "python", json_object_new_string(model->python));
    tm_json_put(object, "tracer", json_object_new_string(model->tracer));
    tm_json_put(object, "tracer_version", json_object_new_string(model->tracer_version));
    tm_json_put(object, "frame_limit", json_object_new_int64(model->frame_limit));
    tm_json_put(object, "started", model->started ? tm_json_time(tm_seconds(model->started)) : NULL);
}

struct json_object *tm_json_statistic(const struct tm_model *model, enum tm_group group,
                                      const struct tm_statistic *item)
{
    struct json_object *entry = json_object_new_object();
    tm_json_put(entry, "size", json_object_new_int64(item->size));
    tm_json_put(entry, "count", json_object_new_int64(item->count));
    tm_json_put(entry, "traceback", tm_json_group(model, group, item->stack, item->location));
    return entry;
}

struct json_object *tm_json_block(const struct tm_block *block)
{
    struct json_object *entry = json_object_new_object();
    tm_json_put(entry, "address", tm_json_address(block->address));
    tm_json_put(entry, "size", json_object_new_uint64(block->size));
    tm_json_put(entry, "domain", json_object_new_int64(block->domain));
    return entry;
}

void tm_json_put_selected(struct json_object *object, const struct tm_request *request)
{
    if (!request->selection)
        return;
    struct json_object *selected = json_object_new_object();
    tm_json_put(selected, "size", json_object_new_int64(request->selection->size));
    tm_json_put(selected, "count", json_object_new_int64(request->selection->count));
    tm_json_put(object, "selected", selected);
}

struct json_object *tm_json_traceback(const struct tm_model *model, uint32_t stack)
{
    struct json_object *frames = json_object_new_array();
    if (!stack)
        json_object_array_add(frames, tm_json_frame(model, 0, true, true));
    for (uint32_t left = model->frame_limit; left && stack; left--, stack = model->stacks[stack].parent)
        json_object_array_add(frames, tm_json_frame(model, model->stacks[stack].location, true, true));
    return frames;
}
