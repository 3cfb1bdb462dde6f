/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <inttypes.h>
#include <json-c/printbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS (JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)

/* json-c writes a string's bytes as they are.  This one stands behind json_object_set_serializer(). */
static int write_name(struct json_object *object, struct printbuf *out, int level, int flags)
{
    (void)level;
    (void)flags;
    const char *bytes = json_object_get_string(object);
    size_t size = json_object_get_string_len(object), used;
    char escape[8];
    printbuf_memappend(out, "\"", 1);
    for (size_t i = 0; i < size; i += used) {
        int32_t point = tm_utf8_next(bytes + i, size - i, &used);
        if (point < 0)
            point = 0xdc00 + (uint8_t)bytes[i];
        if (point == '"' || point == '\\')
            snprintf(escape, sizeof(escape), "\\%c", (char)point);
        else if (point < 0x20 || point == 0x7f || (point >= 0xd800 && point < 0xe000))
            snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)point & 0xffff);
        else {
            printbuf_memappend(out, bytes + i, (int)used);
            continue;
        }
        printbuf_memappend(out, escape, (int)strlen(escape));
    }
    printbuf_memappend(out, "\"", 1);
    return 0;
}

struct json_object *tm_json_name(struct tm_string_ref name)
{
    struct json_object *object = json_object_new_string_len(name.bytes, (int)name.length);
    if (object)
        json_object_set_serializer(object, write_name, NULL, NULL);
    return object;
}

struct json_object *tm_json_address(uint64_t address)
{
    char text[24];
    snprintf(text, sizeof(text), "0x%" PRIx64, address);
    return json_object_new_string(text);
}

void tm_json_put(struct json_object *object, const char *key, struct json_object *value)
{
    json_object_object_add_ex(object, key, value, JSON_C_OBJECT_ADD_CONSTANT_KEY | JSON_C_OBJECT_ADD_KEY_IS_NEW);
}

void tm_json_put_source(struct json_object *object, const struct tm_model *model)
{
    char *source = tm_model_source(model);
    tm_json_put(object, "source", source ? json_object_new_string(source) : NULL);
    free(source);
    tm_json_put(object, "tracing", json_object_new_boolean(model->tracing));
}

void tm_json_put_total(struct json_object *object, const struct tm_model *model)
{
    struct json_object *total = json_object_new_object();
    tm_json_put(total, "size", json_object_new_uint64(model->size));
    tm_json_put(total, "count", json_object_new_uint64(model->count));
    tm_json_put(total, "peak", json_object_new_uint64(model->peak));
    tm_json_put(total, "lost", json_object_new_uint64(model->lost));
    tm_json_put(object, "total", total);
}

void tm_json_put_incomplete(struct json_object *object, const struct tm_model *model)
{
    if (!model->incomplete_count)
        return;
    struct json_object *notes = json_object_new_array();
    size_t shown = tm_model_notes(model);
    for (size_t i = 0; i < shown; i++)
        json_object_array_add(notes, json_object_new_string(model->incomplete[i]));
    if (shown < model->incomplete_count) {
        char more[64];
        snprintf(more, sizeof(more), "and %zu more", model->incomplete_count - shown);
        json_object_array_add(notes, json_object_new_string(more));
    }
    tm_json_put(object, "incomplete", notes);
}

struct tm_error *tm_json_write(struct json_object *object, struct tm_output *output)
{
    size_t length = 0;
    const char *text = json_object_to_json_string_length(object, FLAGS, &length);
    if (text) {
        tm_text_add(&output->text, text, length);
        tm_text_add(&output->text, "\n", 1);
    }
    json_object_put(object);
    return text && !output->text.failed ? NULL : tm_error_no_memory();
}

/* ---- long answers --------------------------------------------------------------------------------------------------- */

struct tm_error *tm_json_begin(struct json_object *object, const char *key, struct tm_output *output,
                               struct tm_json_list *ret)
{
    size_t length = 0;
    const char *text = json_object_to_json_string_length(object, FLAGS, &length);
    bool ok = text && length > 2;
    if (ok) { /* "{ ... }" without its end */
        tm_text_add(&output->text, text, length - 2);
        tm_text_print(&output->text, ", \"%s\": [", key);
    }
    json_object_put(object);
    *ret = (struct tm_json_list){.output = output};
    return ok ? NULL : tm_error_no_memory();
}

bool tm_json_item(struct tm_json_list *list, struct json_object *item)
{
    struct tm_text *text = &list->output->text;
    size_t length = 0;
    const char *bytes = json_object_to_json_string_length(item, FLAGS, &length);
    if (bytes) {
        tm_text_print(text, list->count++ ? ", " : " ");
        tm_text_add(text, bytes, length);
    } else {
        text->failed = true;
    }
    json_object_put(item);
    tm_output_some(list->output);
    return !list->output->closed && !text->failed;
}

void tm_json_next(struct tm_json_list *list, const char *key)
{
    tm_text_print(&list->output->text, " ], \"%s\": [", key);
    list->count = 0;
}

struct tm_error *tm_json_end(struct tm_json_list *list)
{
    tm_text_print(&list->output->text, " ] }\n");
    return list->output->text.failed ? tm_error_no_memory() : NULL;
}
