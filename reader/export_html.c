/* SPDX-License-Identifier: MIT */
/* html: one page that opens without a network.  web/ makes the page; what it shows is put into it here, as JSON. */
#define _GNU_SOURCE /* memmem */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "page.h"
#include "picture.h"

/* A browser draws so many without getting slow; below the thousandth part of the width nothing is seen anyway. */
#define MAX_NODES 20000
/* A browser's stack has room for some thousand calls, and whoever scrolls gives up earlier. */
#define MAX_DEPTH 1000

/* ---- text ----------------------------------------------------------------------------------------------------------- */

/* JSON inside a <script>: nothing in it may end the element or begin a comment, and old engines take U+2028 and U+2029
 * for ends of lines.  All of these only occur in strings. */
static void put_escaped(struct tm_text *text, const char *bytes, size_t size)
{
    size_t from = 0;
    for (size_t i = 0; i < size; i++) {
        const char *escape = NULL;
        size_t used = 1;
        if (bytes[i] == '<' || bytes[i] == '>' || bytes[i] == '&') {
            escape = bytes[i] == '<' ? "\\u003c" : bytes[i] == '>' ? "\\u003e" : "\\u0026";
        } else if (bytes[i] == '\xe2' && size - i > 2 && bytes[i + 1] == '\x80' &&
                   (bytes[i + 2] == '\xa8' || bytes[i + 2] == '\xa9')) {
            escape = bytes[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
            used = 3;
        }
        if (!escape)
            continue;
        tm_text_add(text, bytes + from, i - from);
        tm_text_add(text, escape, strlen(escape));
        i += used - 1;
        from = i + 1;
    }
    tm_text_add(text, bytes + from, size - from);
}

/* Names as a terminal may show them: what could hide or reorder text is as harmful on a page. */
static struct json_object *shown(struct tm_text *scratch, struct tm_string_ref name)
{
    scratch->size = 0;
    tm_text_add_name(scratch, name);
    return json_object_new_string_len(scratch->bytes ? scratch->bytes : "", (int)scratch->size);
}

/* ---- parts ---------------------------------------------------------------------------------------------------------- */

static struct json_object *json_side(const struct tm_source *side)
{
    const struct tm_request request = {.selection = side->selection};
    struct json_object *object = json_object_new_object();
    tm_json_put_source(object, side->model);
    tm_json_put(object, "frame_limit", json_object_new_int64(side->model->frame_limit));
    tm_json_put_total(object, side->model);
    tm_json_put_selected(object, &request);
    tm_json_put_incomplete(object, side->model);
    return object;
}

static struct json_object *json_place(const struct tm_model *model, const struct tm_model_location *location,
                                      struct tm_lines *lines, struct tm_text *scratch)
{
    struct tm_string_ref source = tm_lines_get(lines, location->filename, location->lineno);
    struct json_object *entry = json_object_new_array();
    json_object_array_add(entry, shown(scratch, tm_model_text(model, location->filename)));
    json_object_array_add(entry, json_object_new_int64(location->lineno));
    json_object_array_add(entry, shown(scratch, tm_model_text(model, location->name)));
    if (source.length)
        json_object_array_add(entry, shown(scratch, source));
    return entry;
}

/* Places that are drawn, in order of their appearance.  numbers: per side and location, what nodes call it plus 1; 0: it is
 * not drawn. */
static void put_places(struct json_object *data, const struct tm_export *export, const struct tm_picture *picture,
                       uint32_t *const *numbers)
{
    const struct tm_source *const sides[] = {&export->fresh, &export->old};
    struct json_object *places = json_object_new_array();
    struct tm_lines *lines[2] = {NULL, NULL};
    struct tm_text scratch = {0};
    uint32_t count = 0;
    for (int i = 0; i < 2 && !export->request->no_source; i++)
        lines[i] = sides[i]->model ? tm_lines_create(sides[i]->model) : NULL;
    for (uint32_t i = 1; i < picture->count; i++) {
        const struct tm_picture_node *node = &picture->nodes[i];
        uint32_t *number = &numbers[node->side][node->location];
        if (node->folded || *number)
            continue;
        *number = ++count;
        const struct tm_model *model = sides[node->side]->model;
        json_object_array_add(places,
                              json_place(model, &model->locations[node->location], lines[node->side], &scratch));
    }
    tm_json_put(data, "places", places);
    tm_lines_destroy(lines[0]);
    tm_lines_destroy(lines[1]);
    tm_text_free(&scratch);
}

/* [parent, place, size, count, old size, old count]; place -n: n nodes that are folded, together */
static void put_node(struct json_object *nodes, uint32_t parent, int64_t place, const struct tm_total *totals,
                     bool compares)
{
    struct json_object *entry = json_object_new_array();
    json_object_array_add(entry, json_object_new_int64(parent));
    json_object_array_add(entry, json_object_new_int64(place));
    for (int side = 0; side < 1 + compares; side++) {
        json_object_array_add(entry, json_object_new_int64(totals[side].bytes));
        json_object_array_add(entry, json_object_new_int64(totals[side].blocks));
    }
    json_object_array_add(nodes, entry);
}

static struct tm_error *put_nodes(struct json_object *data, const struct tm_picture *picture, uint32_t *const *numbers,
                                  bool compares)
{
    struct json_object *nodes = json_object_new_array();
    uint32_t *number = calloc(picture->count, sizeof(*number)), count = 0;
    tm_json_put(data, "nodes", nodes);
    if (!number)
        return tm_error_no_memory();
    for (uint32_t i = 0; i < picture->count; i++) {
        const struct tm_picture_node *node = &picture->nodes[i];
        if (node->folded)
            continue;
        number[i] = count++;
        put_node(nodes, number[node->parent], i ? (int64_t)numbers[node->side][node->location] - 1 : 0, node->own,
                 compares);
        if (node->smaller_count) {
            put_node(nodes, number[i], -(int64_t)node->smaller_count, node->smaller, compares);
            count++;
        }
    }
    free(number);
    return NULL;
}

struct tm_error *tm_export_html(struct tm_export *export)
{
    const struct tm_source *const sides[] = {&export->fresh, &export->old};
    const bool compares = export->old.model;
    const char *page = tm_page(), *end = page + tm_page_size();
    const char *mark = memmem(page, tm_page_size(), TM_PAGE_DATA, strlen(TM_PAGE_DATA));
    if (!mark)
        return tm_error(TM_ERROR_SYSTEM, "the page in this build has no place for data");
    struct tm_picture picture;
    struct tm_error *error = tm_picture_make(sides, 1 + compares, MAX_NODES, MAX_DEPTH, &picture);
    if (error)
        return error;
    struct json_object *data = json_object_new_object(), *of = json_object_new_array();
    tm_json_put(data, "tm", json_object_new_string(tm_version()));
    for (int i = 0; i < 1 + compares; i++)
        json_object_array_add(of, json_side(sides[i]));
    tm_json_put(data, "sides", of);
    tm_json_put(data, "folded", json_object_new_int64(picture.folded));
    uint32_t *numbers[2] = {NULL, NULL};
    for (int i = 0; i < 1 + compares && !error; i++) {
        numbers[i] = calloc(sides[i]->model->location_count + 1, sizeof(*numbers[i]));
        error = numbers[i] ? NULL : tm_error_no_memory();
    }
    if (!error) {
        put_places(data, export, &picture, numbers);
        error = put_nodes(data, &picture, numbers, compares);
    }
    free(numbers[0]);
    free(numbers[1]);
    tm_picture_free(&picture);
    size_t size = 0;
    const char *bytes = json_object_to_json_string_length(data, JSON_C_TO_STRING_NOSLASHESCAPE, &size);
    if (!error && !bytes)
        error = tm_error_no_memory();
    if (!error) {
        struct tm_text *text = export->sink->text;
        tm_text_add(text, page, (size_t)(mark - page));
        put_escaped(text, bytes, size);
        mark += strlen(TM_PAGE_DATA);
        tm_text_add(text, mark, (size_t)(end - mark));
        error = tm_export_step(export);
    }
    json_object_put(data);
    return error;
}
