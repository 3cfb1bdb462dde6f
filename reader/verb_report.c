/* SPDX-License-Identifier: MIT */
/* report: who, when, how much, where, and what is missing, in one answer. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "new_file.h"
#include "report.h"

struct tm_error *tm_check_report(const struct tm_request *request)
{
    const char *format = tm_document_format_names[request->report_format];
    if (request->json && request->report_format != TM_DOCUMENT_TEXT)
        return tm_error_try(tm_error(TM_ERROR_USAGE, "--json cannot be used with --format %s", format),
                            "one of the two");
    return NULL;
}

/* ---- what the forms have in common ---------------------------------------------------------------------------------- */

void tm_report_state(const struct tm_report *report, struct tm_text *text)
{
    const struct tm_target *target = report->request->target;
    if (target->signal) {
        tm_text_print(text, "killed by ");
        tm_text_signal(text, target->signal);
    } else if (target->live) {
        tm_text_print(text, "alive");
    }
}

bool tm_report_missing(const struct tm_report *report, struct tm_text *scratch,
                       void (*item)(void *context, const char *sentence), void *context)
{
    const struct tm_model *model = report->model;
    size_t notes = tm_model_notes(model);
    if (model->lost) {
        scratch->size = 0;
        tm_text_print(scratch, "%" PRIu64 " allocations were not recorded: there was no memory for it", model->lost);
        item(context, scratch->bytes ? scratch->bytes : "");
    }
    if (model->incomplete_count)
        item(context, "part of the table is missing, so that all numbers are lower bounds:");
    for (size_t i = 0; i < notes; i++)
        item(context, model->incomplete[i]);
    if (notes < model->incomplete_count) {
        scratch->size = 0;
        tm_text_print(scratch, "and %zu more", model->incomplete_count - notes);
        item(context, scratch->bytes ? scratch->bytes : "");
    }
    if (report->request->target->truncated)
        item(context, "the core file ends before the memory does");
    if (!model->tracing)
        item(context, "tracing was stopped: nothing is known of later allocations");
    return model->lost || model->incomplete_count || report->request->target->truncated || !model->tracing;
}

/* ---- what it says --------------------------------------------------------------------------------------------------- */

/* SOURCE_DATE_EPOCH stands for now, as wherever a result is to be the same twice. */
static void find_moment(struct tm_report *report)
{
    const struct tm_request *request = report->request;
    const char *file = tm_face_has_target(request->face) ? request->face->core_file : request->source;
    const char *set = getenv("SOURCE_DATE_EPOCH");
    struct stat status;
    report->written = !request->target->live && file && stat(file, &status) == 0;
    report->moment = report->written ? status.st_mtime : set && *set ? (time_t)strtoll(set, NULL, 10) : time(NULL);
}

static struct tm_error *find_groups(struct tm_report *report, enum tm_group group, uint64_t limit,
                                    struct tm_statistics *ret)
{
    return tm_statistics_make(report->model, tm_request_totals(report->request), group, false, limit, ret);
}

static struct tm_error *find_blocks(struct tm_report *report, uint64_t limit)
{
    struct tm_error *error = tm_blocks_biggest(report->request, limit, &report->blocks, &report->block_count);
    if (!error || error->code == TM_ERROR_NO_MEMORY || error->code == TM_ERROR_INTERRUPTED)
        return error;
    /* A snapshot may be without them: the rest is no worse for it. */
    report->no_blocks = error;
    return NULL;
}

static struct tm_error *find_all(struct tm_report *report)
{
    uint64_t limit = report->request->limit;
    find_moment(report);
    struct tm_error *error = find_groups(report, TM_GROUP_LINENO, limit ? limit : 10, &report->lines);
    if (!error && report->model->frame_limit > 1)
        error = find_groups(report, TM_GROUP_TRACEBACK, limit ? limit : 3, &report->tracebacks);
    return error ? error : find_blocks(report, limit ? limit : 10);
}

static void free_all(struct tm_report *report)
{
    tm_statistics_free(&report->lines);
    tm_statistics_free(&report->tracebacks);
    free(report->blocks);
    tm_error_destroy(report->no_blocks);
}

/* ---- where it goes -------------------------------------------------------------------------------------------------- */

static struct tm_error *write_it(const struct tm_report *report, struct tm_output *output)
{
    const struct tm_request *request = report->request;
    if (request->json)
        return tm_report_json(report, output);
    return tm_report_page(report, (enum tm_document_format)request->report_format, &output->text);
}

static struct tm_error *write_file(const struct tm_report *report, struct tm_new_file *file)
{
    struct tm_request *request = report->request;
    struct tm_output content = {.face = request->face, .held = true};
    struct tm_error *error = write_it(report, &content);
    if (!error)
        error = tm_new_file_write(file, content.text.bytes, content.text.size);
    if (!error)
        error = tm_new_file_finish(file);
    tm_text_free(&content.text);
    return error;
}

struct tm_error *tm_run_report(struct tm_request *request)
{
    struct tm_new_file file = {.fd = -1};
    struct tm_report report = {.request = request, .model = request->model};
    struct tm_error *error = request->file ? tm_new_file_open(&file, request->file, request->force) : NULL;
    if (!error && request->file)
        error = tm_new_file_share(&file);
    if (!error)
        error = find_all(&report);
    if (!error)
        error = request->file ? write_file(&report, &file) : write_it(&report, request->output);
    if (!error && request->file)
        tm_print_file(request, file.size);
    tm_new_file_close(&file);
    free_all(&report);
    return error;
}
