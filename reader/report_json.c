/* SPDX-License-Identifier: MIT */
/* A report for programs: the words of info, top and blocks --json. */
#include <string.h>

#include "json.h"
#include "report.h"

static void put_sentence(void *context, const char *sentence)
{
    json_object_array_add(context, json_object_new_string(sentence));
}

/* Of the lines that are not listed. */
static struct json_object *json_rest(const struct tm_statistics *lines)
{
    struct json_object *rest = json_object_new_object();
    tm_json_put(rest, "lines", json_object_new_int64((int64_t)(lines->groups - lines->count)));
    tm_json_put(rest, "size", json_object_new_int64(lines->rest_size));
    tm_json_put(rest, "count", json_object_new_int64(lines->rest_count));
    return rest;
}

static struct json_object *json_head(const struct tm_report *report)
{
    struct json_object *answer = json_object_new_object(), *missing = json_object_new_array();
    struct tm_text text = {0};
    tm_json_put_process(answer, report->model);
    tm_report_state(report, &text);
    tm_json_put(answer, "state", text.size ? json_object_new_string(text.bytes) : NULL);
    tm_json_put(answer, report->written ? "written" : "read", tm_json_time(report->moment));
    tm_json_put_total(answer, report->model);
    tm_json_put_selected(answer, report->request);
    tm_json_put_incomplete(answer, report->model);
    tm_report_missing(report, &text, put_sentence, missing);
    tm_json_put(answer, "missing", missing);
    tm_json_put(answer, "other_lines", json_rest(&report->lines));
    if (report->no_blocks) {
        const char *why = report->no_blocks->what; /* with the name of the file */
        tm_json_put(answer, "no_blocks", tm_json_name((struct tm_string_ref){why, (uint32_t)strlen(why)}));
    }
    tm_text_free(&text);
    return answer;
}

static bool put_groups(const struct tm_report *report, const struct tm_statistics *groups, struct tm_json_list *list)
{
    for (size_t i = 0; i < groups->count; i++) {
        if (!tm_json_item(list, tm_json_statistic(report->model, groups->group, &groups->items[i])))
            return false;
    }
    return true;
}

static bool put_blocks(const struct tm_report *report, struct tm_json_list *list)
{
    for (size_t i = 0; i < report->block_count; i++) {
        struct json_object *entry = tm_json_block(&report->blocks[i]);
        tm_json_put(entry, "traceback", tm_json_traceback(report->model, report->blocks[i].stack));
        if (!tm_json_item(list, entry))
            return false;
    }
    return true;
}

struct tm_error *tm_report_json(const struct tm_report *report, struct tm_output *output)
{
    struct tm_json_list list;
    struct tm_error *error = tm_json_begin(json_head(report), "lines", output, &list);
    if (error)
        return error;
    if (put_groups(report, &report->lines, &list)) {
        tm_json_next(&list, "tracebacks");
        if (put_groups(report, &report->tracebacks, &list)) {
            tm_json_next(&list, "blocks");
            put_blocks(report, &list);
        }
    }
    return tm_json_end(&list);
}
