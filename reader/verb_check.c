/* SPDX-License-Identifier: MIT */
/* check: do the running totals say what a walk over all blocks says, and is every part of the table there? */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "request.h"

#define MAX_DIFFERENCES 20

struct check {
    struct tm_request *request;
    const struct tm_total *totals; /* per stack: as the table has them */
    struct tm_total *scanned;      /* as the walk found them */
    uint64_t all_size;             /* that are said to live */
    uint64_t all_count;
    uint64_t size;
    uint64_t count;
    uint64_t differences; /* stacks whose totals differ from the scan */
    struct json_object *findings;
    size_t finding_count;
};

static struct tm_error *take(void *context, const struct tm_block *blocks, size_t count)
{
    struct check *check = context;
    for (size_t i = 0; i < count; i++) {
        if (!tm_selection_keeps(check->request->selection, blocks[i].stack, blocks[i].domain))
            continue;
        struct tm_total *total = &check->scanned[blocks[i].stack];
        total->bytes = tm_sum(total->bytes, (int64_t)blocks[i].size);
        total->blocks++;
        check->size += blocks[i].size;
        check->count++;
    }
    return NULL;
}

static void find(void *context, const char *finding)
{
    struct check *check = context;
    check->finding_count++;
    json_object_array_add(check->findings, json_object_new_string(finding));
}

static void compare_stacks(struct check *check)
{
    const struct tm_model *model = check->request->model;
    for (uint32_t i = 0; i < model->stack_count; i++) {
        const struct tm_total *total = &check->totals[i], *scanned = &check->scanned[i];
        if (total->bytes == scanned->bytes && total->blocks == scanned->blocks)
            continue;
        if (check->differences++ >= MAX_DIFFERENCES)
            continue;
        const struct tm_model_location *place = &model->locations[model->stacks[i].location];
        struct tm_text text = {0};
        tm_text_print(&text, "stack %" PRIu32 " (", i);
        tm_text_add_name(&text, tm_model_text(model, place->filename));
        tm_text_print(&text,
                      ":%" PRIu32 "): the totals say %" PRId64 " bytes in %" PRId64 " blocks, the scan %" PRId64
                      " in %" PRId64,
                      place->lineno, total->bytes, total->blocks, scanned->bytes, scanned->blocks);
        if (!text.failed)
            find(check, text.bytes);
        tm_text_free(&text);
    }
    char more[80];
    if (check->differences > MAX_DIFFERENCES) {
        snprintf(more, sizeof(more), "%" PRIu64 " more stacks differ", check->differences - MAX_DIFFERENCES);
        find(check, more);
    }
}

static void compare_totals(struct check *check)
{
    const struct tm_model *model = check->request->model;
    int64_t bytes = 0;
    for (uint32_t i = 0; i < model->stack_count; i++)
        bytes = tm_sum(bytes, check->totals[i].bytes);
    char text[160];
    if (bytes != (int64_t)check->all_size) {
        snprintf(text, sizeof(text), "the totals of all stacks are %" PRId64 " bytes, but %" PRIu64 " are said to live",
                 bytes, check->all_size);
        find(check, text);
    }
    if (model->peak < model->size) {
        snprintf(text, sizeof(text), "the peak is %" PRIu64 " bytes, but %" PRIu64 " live", model->peak, model->size);
        find(check, text);
    }
}

static struct tm_error *print_json(const struct check *check)
{
    const struct tm_model *model = check->request->model;
    struct json_object *answer = json_object_new_object(), *scan = json_object_new_object();
    tm_json_put_source(answer, model);
    tm_json_put_total(answer, model);
    tm_json_put_selected(answer, check->request);
    tm_json_put(scan, "size", json_object_new_uint64(check->size));
    tm_json_put(scan, "count", json_object_new_uint64(check->count));
    tm_json_put(answer, "scan", scan);
    tm_json_put(answer, "different_stacks", json_object_new_uint64(check->differences));
    tm_json_put(answer, "findings", json_object_get(check->findings));
    tm_json_put_incomplete(answer, model);
    return tm_json_write(answer, check->request->output);
}

static void print_text(const struct check *check)
{
    const struct tm_model *model = check->request->model;
    struct tm_text *text = &check->request->output->text;
    tm_print_header(check->request);
    tm_text_print(text, "\ntotals: %" PRIu64 " bytes in %" PRIu64 " blocks\n", check->all_size, check->all_count);
    tm_text_print(text, "scan:   %" PRIu64 " bytes in %" PRIu64 " blocks\n", check->size, check->count);
    for (size_t i = 0; i < check->finding_count; i++)
        tm_text_print(text, "%s\n", json_object_get_string(json_object_array_get_idx(check->findings, i)));
    if (check->finding_count && model->target && model->target->live)
        tm_text_print(text, "the process runs: what it did between two reads is among these\n");
    else if (!check->finding_count && !model->incomplete_count)
        tm_text_print(text, "all is well\n");
}

struct tm_error *tm_run_check(struct tm_request *request)
{
    struct tm_model *model = request->model;
    const struct tm_selection *selection = request->selection;
    struct check check = {
        .request = request,
        .totals = selection ? selection->totals : model->totals,
        .all_size = selection ? (uint64_t)selection->size : model->size,
        .all_count = selection ? (uint64_t)selection->count : model->count,
    };
    check.scanned = calloc(model->stack_count, sizeof(*check.scanned));
    if (!check.scanned)
        return tm_error_no_memory();
    check.findings = json_object_new_array();
    struct tm_error *error = tm_model_each_block(model, take, &check);
    if (!error && model->ops->check)
        error = model->ops->check(model, find, &check);
    if (!error) {
        compare_totals(&check);
        compare_stacks(&check);
        request->doubtful = check.finding_count > 0;
        if (request->json)
            error = print_json(&check);
        else
            print_text(&check);
    }
    json_object_put(check.findings);
    free(check.scanned);
    return error;
}
