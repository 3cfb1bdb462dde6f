/* SPDX-License-Identifier: MIT */
/* json: all that `top --json --all --by traceback` says, in the same words, without holding the answer in memory. */
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "export.h"
#include "json.h"

#define STYLE (JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)

/* Writes an object and releases it; without so many of its first and last characters. */
static struct tm_error *put(struct tm_text *text, struct json_object *object, size_t first, size_t last)
{
    size_t size = 0;
    const char *bytes = json_object_to_json_string_length(object, STYLE, &size);
    if (bytes && size >= first + last)
        tm_text_add(text, bytes + first, size - first - last);
    json_object_put(object);
    return bytes ? NULL : tm_error_no_memory();
}

static void make_frame(struct tm_text *text, const struct tm_model *model, uint32_t location)
{
    struct tm_error *error = put(text, tm_json_frame(model, location, true, true), 0, 0);
    text->failed |= error != NULL;
    tm_error_destroy(error);
}

static struct tm_error *put_statistic(struct tm_export *export, const struct tm_statistic *item,
                                      struct tm_frames *frames, struct tm_frame_texts *texts)
{
    struct tm_text *text = export->sink->text;
    struct tm_error *error = tm_frames_get(export->fresh.model, item->stack, frames);
    tm_text_print(text, "{ \"size\": %" PRId64 ", \"count\": %" PRId64 ", \"traceback\": [ ", item->size, item->count);
    for (uint32_t i = 0; i < frames->count && !error; i++) {
        if (i)
            tm_text_add(text, ", ", 2);
        tm_frame_texts_add(texts, frames->items[i], text);
    }
    tm_text_add(text, " ] }", 4);
    return error;
}

struct tm_error *tm_export_json(struct tm_export *export)
{
    struct tm_model *model = export->fresh.model;
    struct tm_text *text = export->sink->text;
    struct tm_statistics statistics = {0};
    struct tm_frames frames = {0};
    struct tm_frame_texts texts;
    struct tm_error *error = tm_frame_texts_init(&texts, model, make_frame);
    if (!error)
        error = tm_export_statistics(export, &statistics);
    if (error) {
        tm_frame_texts_free(&texts);
        return error;
    }
    struct json_object *head = json_object_new_object(), *tail = json_object_new_object();
    tm_json_put_source(head, model);
    tm_json_put(head, "group_by", json_object_new_string(tm_group_names[TM_GROUP_TRACEBACK]));
    tm_json_put_total(head, model);
    tm_json_put_selected(head, export->request);
    error = put(text, head, 0, strlen(" }"));
    tm_text_print(text, ", \"stats\": [");
    for (size_t i = 0; i < statistics.count && !error; i++) {
        tm_text_print(text, i ? ", " : " ");
        error = put_statistic(export, &statistics.items[i], &frames, &texts);
        if (!error)
            error = tm_export_step(export);
    }
    tm_text_print(text, " ]");
    tm_json_put_incomplete(tail, model);
    if (!error && json_object_object_length(tail)) {
        tm_text_print(text, ", ");
        error = put(text, tail, strlen("{ "), 0);
    } else {
        tm_text_print(text, " }");
        json_object_put(tail);
    }
    tm_text_print(text, "\n");
    tm_frame_texts_free(&texts);
    tm_frames_free(&frames);
    tm_statistics_free(&statistics);
    return error;
}
