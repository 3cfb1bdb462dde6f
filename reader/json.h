/* SPDX-License-Identifier: MIT */
/* JSON by json-c, with what a target's strings need beyond it: always valid, whatever their bytes. */
#ifndef TM_JSON_H
#define TM_JSON_H

#include <json-c/json_object.h>

#include "model.h"
#include "text.h"

/* A string out of a target.  Lone surrogates (surrogatepass) and bytes that are not UTF-8 (as Python's surrogateescape
 * has them) come out as \udcxx. */
struct json_object *tm_json_name(struct tm_string_ref name);
struct json_object *tm_json_address(uint64_t address);
/* Adds a member; takes over the value, NULL being JSON's null. */
void tm_json_put(struct json_object *object, const char *key, struct json_object *value);
/* Adds what all answers begin with: "source" and "tracing". */
void tm_json_put_source(struct json_object *object, const struct tm_model *model);
/* Adds "total": {"size", "count", "peak", "lost"}. */
void tm_json_put_total(struct json_object *object, const struct tm_model *model);
/* Adds "incomplete": [notes], if the answer is. */
void tm_json_put_incomplete(struct json_object *object, const struct tm_model *model);
/* Writes it as one line and releases it. */
struct tm_error *tm_json_write(struct json_object *object, struct tm_output *output);

/* The same for an object whose last members are arrays that may be long: each item is written and released at once. */
struct tm_json_list {
    struct tm_output *output;
    size_t count;
};
struct tm_error *tm_json_begin(struct json_object *object, const char *key, struct tm_output *output,
                               struct tm_json_list *ret);
/* False: nobody reads it any more. */
bool tm_json_item(struct tm_json_list *list, struct json_object *item);
/* Ends the array, and begins another one. */
void tm_json_next(struct tm_json_list *list, const char *key);
struct tm_error *tm_json_end(struct tm_json_list *list);

#endif
