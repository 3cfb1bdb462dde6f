/* SPDX-License-Identifier: MIT */
/* json: all that `top --json --all --by traceback` says, in the same words, without holding the answer in memory. */
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

static struct tm_error *put_statistic(struct tm_export *export, const struct tm_statistic *item)
{
    struct json_object *entry = json_object_new_object();
    tm_json_put(entry, "size", json_object_new_int64(item->size));
    tm_json_put(entry, "count", json_object_new_int64(item->count));
    tm_json_put(entry, "traceback", tm_json_traceback(export->fresh.model, item->stack));
    return put(export->sink->text, entry, 0, 0);
}

struct tm_error *tm_export_json(struct tm_export *export)
{
    struct tm_model *model = export->fresh.model;
    struct tm_text *text = export->sink->text;
    struct tm_statistics statistics;
    struct tm_error *error = tm_export_statistics(export, &statistics);
    if (error)
        return error;
    struct json_object *head = json_object_new_object(), *tail = json_object_new_object();
    tm_json_put_source(head, model);
    tm_json_put(head, "group_by", json_object_new_string(tm_group_names[TM_GROUP_TRACEBACK]));
    tm_json_put_total(head, model);
    tm_json_put_selected(head, export->request);
    error = put(text, head, 0, strlen(" }"));
    tm_text_print(text, ", \"stats\": [");
    for (size_t i = 0; i < statistics.count && !error; i++) {
        tm_text_print(text, i ? ", " : " ");
        error = put_statistic(export, &statistics.items[i]);
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
    tm_statistics_free(&statistics);
    return error;
}
