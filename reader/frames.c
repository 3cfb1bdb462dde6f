/* SPDX-License-Identifier: MIT */
/* What verbs have in common when they answer: the header, places, tracebacks; as text and as JSON. */
#include <inttypes.h>
#include <stdlib.h>

#include "json.h"
#include "request.h"

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
    if (model->incomplete_count)
        tm_text_print(text, "lower bound: part of the table is missing\n");
    size_t notes = tm_model_notes(model);
    for (size_t i = 0; i < notes; i++)
        tm_text_print(text, "  %s\n", model->incomplete[i]);
    if (notes < model->incomplete_count)
        tm_text_print(text, "  and %zu more\n", model->incomplete_count - notes);
}

void tm_print_place(struct tm_request *request, uint32_t location)
{
    const struct tm_model_location *place = &request->model->locations[location];
    tm_text_add_name(&request->output->text, tm_model_text(request->model, place->filename));
    tm_text_print(&request->output->text, ":%" PRIu32, place->lineno);
}

void tm_print_source_line(struct tm_request *request, uint32_t location, const char *indent)
{
    const struct tm_model_location *place = &request->model->locations[location];
    if (request->no_source)
        return;
    if (!request->lines)
        request->lines = tm_lines_create(request->model);
    struct tm_string_ref line = tm_lines_get(request->lines, place->filename, place->lineno);
    if (!line.length)
        return;
    tm_text_print(&request->output->text, "%s", indent);
    tm_text_add_name(&request->output->text, line);
    tm_text_print(&request->output->text, "\n");
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

struct json_object *tm_json_traceback(const struct tm_model *model, uint32_t stack)
{
    struct json_object *frames = json_object_new_array();
    if (!stack)
        json_object_array_add(frames, tm_json_frame(model, 0, true, true));
    for (uint32_t left = model->frame_limit; left && stack; left--, stack = model->stacks[stack].parent)
        json_object_array_add(frames, tm_json_frame(model, model->stacks[stack].location, true, true));
    return frames;
}
