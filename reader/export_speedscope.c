/* SPDX-License-Identifier: MIT */
/* speedscope: one sampled profile.  A sample is a traceback, its weight the bytes (or blocks) that are live there. */
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>

#include "export.h"
#include "json.h"

#define STYLE JSON_C_TO_STRING_NOSLASHESCAPE

static void put_string(struct tm_text *text, struct tm_string_ref string)
{
    struct json_object *object = tm_json_name(string);
    const char *bytes = json_object_to_json_string_ext(object, STYLE);
    if (bytes)
        tm_text_print(text, "%s", bytes);
    else
        text->failed = true;
    json_object_put(object);
}

/* Numbers the locations that occur, in order of their appearance. */
static struct tm_error *number_frames(struct tm_export *export, const struct tm_statistics *statistics,
                                      struct tm_frames *frames, uint32_t *number)
{
    const struct tm_model *model = export->fresh.model;
    struct tm_text *text = export->sink->text, name = {0};
    struct tm_error *error = NULL;
    uint32_t count = 0;
    for (size_t i = 0; i < statistics->count && !error; i++) {
        error = tm_frames_get(model, statistics->items[i].stack, frames);
        for (uint32_t j = 0; j < frames->count && !error; j++) {
            uint32_t location = frames->items[j];
            if (number[location])
                continue;
            number[location] = ++count;
            name.size = 0;
            tm_export_frame_name(&name, model, location, true);
            tm_text_print(text, "%s{\"name\":", count == 1 ? "" : ",\n");
            put_string(text, (struct tm_string_ref){name.bytes, (uint32_t)name.size});
            tm_text_print(text, ",\"file\":");
            put_string(text, tm_model_text(model, model->locations[location].filename));
            tm_text_print(text, ",\"line\":%" PRIu32 "}", model->locations[location].lineno);
            error = tm_export_step(export);
        }
    }
    if (!error && name.failed)
        error = tm_error_no_memory();
    tm_text_free(&name);
    return error;
}

/* Millions of them: printf would be most of the work. */
static void put_number(struct tm_text *text, uint32_t number)
{
    char digits[10];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    tm_text_add(text, digits + at, sizeof(digits) - at);
}

static struct tm_error *put_samples(struct tm_export *export, const struct tm_statistics *statistics,
                                    struct tm_frames *frames, const uint32_t *number)
{
    struct tm_text *text = export->sink->text;
    struct tm_error *error = NULL;
    for (size_t i = 0; i < statistics->count && !error; i++) {
        error = tm_frames_get(export->fresh.model, statistics->items[i].stack, frames);
        tm_text_print(text, i ? ",\n[" : "[");
        for (uint32_t j = error ? 0 : frames->count; j-- > 0;) {
            put_number(text, number[frames->items[j]] - 1);
            tm_text_add(text, j ? "," : "]", 1);
        }
        if (!error)
            error = tm_export_step(export);
    }
    return error;
}

struct tm_error *tm_export_speedscope(struct tm_export *export)
{
    const struct tm_model *model = export->fresh.model;
    struct tm_text *text = export->sink->text;
    char *source = tm_model_source(model);
    struct tm_text title = {0};
    uint32_t *number = calloc(model->location_count, sizeof(*number));
    struct tm_frames frames = {0};
    struct tm_statistics statistics = {0};
    int64_t total = 0;
    struct tm_error *error = source && number ? tm_export_statistics(export, &statistics) : tm_error_no_memory();
    if (!error) {
        tm_text_print(&title, "%s%s", source, model->incomplete_count ? ", lower bound" : "");
        tm_text_print(text, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\n\"name\":");
        put_string(text, (struct tm_string_ref){title.bytes ? title.bytes : "", (uint32_t)title.size});
        tm_text_print(text, ",\"exporter\":\"tm %s\",\"activeProfileIndex\":0,\n\"shared\":{\"frames\":[\n",
                      tm_version());
        error = number_frames(export, &statistics, &frames, number);
    }
    for (size_t i = 0; i < statistics.count; i++)
        total = tm_sum(total, tm_export_value(export, &statistics.items[i]));
    tm_text_print(text,
                  "]},\n\"profiles\":[{\"type\":\"sampled\",\"name\":\"%s\",\"unit\":\"%s\",\"startValue\":0,"
                  "\"endValue\":%" PRId64 ",\n\"samples\":[",
                  export->request->by_count ? "live blocks" : "live memory",
                  export->request->by_count ? "none" : "bytes", total);
    if (!error)
        error = put_samples(export, &statistics, &frames, number);
    tm_text_print(text, "],\n\"weights\":[");
    for (size_t i = 0; i < statistics.count && !error; i++) {
        tm_text_print(text, "%s%" PRId64, i ? "," : "", tm_export_value(export, &statistics.items[i]));
        error = tm_sink_some(export->sink);
    }
    tm_text_print(text, "]}]}\n");
    tm_frames_free(&frames);
    tm_statistics_free(&statistics);
    tm_text_free(&title);
    free(number);
    free(source);
    return error;
}
