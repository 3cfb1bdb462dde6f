/* SPDX-License-Identifier: MIT */
/* report: the page to put into an incident. */
#define _GNU_SOURCE /* sigabbrev_np */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "document.h"
#include "new_file.h"
#include "request.h"
#include "statistics.h"

struct report {
    struct tm_request *request;
    const struct tm_model *model;
    struct tm_document document;
    struct tm_text scratch; /* of one value, sentence or row */
};

/* Starts a new text in scratch. */
static struct tm_text *fresh(struct report *report)
{
    report->scratch.size = 0;
    return &report->scratch;
}

static const char *bytes_of(const struct tm_text *text)
{
    return text->bytes && text->size ? text->bytes : "";
}

static void fact(struct report *report, const char *name)
{
    if (report->scratch.size)
        tm_document_fact(&report->document, name, bytes_of(&report->scratch));
}

static void item(struct report *report)
{
    tm_document_item(&report->document, bytes_of(&report->scratch));
}

static void add_time(struct tm_text *text, time_t seconds)
{
    char moment[32];
    struct tm parts;
    if (gmtime_r(&seconds, &parts) && strftime(moment, sizeof(moment), "%Y-%m-%dT%H:%M:%SZ", &parts))
        tm_text_print(text, "%s", moment);
}

/* ---- who and when --------------------------------------------------------------------------------------------------- */

/* The moment that the page is about.  SOURCE_DATE_EPOCH stands for now, as wherever a result is to be the same twice. */
static void put_moment(struct report *report)
{
    const struct tm_request *request = report->request;
    const char *file = tm_face_has_target(request->face) ? request->face->core_file : request->source;
    const char *set = getenv("SOURCE_DATE_EPOCH");
    struct stat status;
    if (!request->target->live && file && stat(file, &status) == 0) {
        add_time(fresh(report), status.st_mtime);
        fact(report, "Written");
        return;
    }
    add_time(fresh(report), set && *set ? (time_t)strtoll(set, NULL, 10) : time(NULL));
    fact(report, "Read");
}

static void put_end(struct report *report)
{
    const struct tm_target *target = report->request->target;
    struct tm_text *text = fresh(report);
    const char *name = target->signal > 0 ? sigabbrev_np(target->signal) : NULL;
    if (target->signal)
        tm_text_print(text, "killed by signal %d%s%s%s", target->signal, name ? " (SIG" : "", name ? name : "",
                      name ? ")" : "");
    else if (target->live)
        tm_text_print(text, "alive");
    fact(report, "State");
}

static void put_process(struct report *report)
{
    const struct tm_model *model = report->model;
    const struct tm_target *target = report->request->target;
    tm_text_print(fresh(report), "%d", (int)model->pid);
    if (model->pid)
        fact(report, "Process");
    struct tm_text *text = fresh(report);
    if (target->program)
        tm_text_add_name(text, (struct tm_string_ref){target->program, (uint32_t)strlen(target->program)});
    fact(report, "Program");
    put_end(report);
    put_moment(report);
    text = fresh(report);
    if (model->python[0])
        tm_text_print(text, "CPython %s", model->python);
    fact(report, "Python");
    text = fresh(report);
    tm_text_print(text, "by %s%s%s, %s", model->tracer, model->tracer_version[0] ? " " : "", model->tracer_version,
                  model->tracing ? "on" : "stopped");
    if (model->started) {
        tm_text_print(text, " since ");
        add_time(text, (time_t)(model->started / 1000000000));
    }
    tm_text_print(text, ", %" PRIu32 " frame%s", model->frame_limit, model->frame_limit == 1 ? "" : "s");
    fact(report, "Traced");
}

static void put_totals(struct report *report)
{
    const struct tm_model *model = report->model;
    const struct tm_selection *selection = report->request->selection;
    struct tm_text *text = fresh(report);
    tm_text_print(text, "%s", model->incomplete_count ? "at least " : "");
    tm_text_add_size(text, (double)model->size, false);
    tm_text_print(text, " in %" PRIu64 " blocks", model->count);
    fact(report, "Memory");
    tm_text_add_size(fresh(report), (double)model->peak, false);
    fact(report, "Peak");
    if (!selection)
        return;
    text = fresh(report);
    tm_text_add_size(text, (double)selection->size, false);
    tm_text_print(text, " in %" PRId64 " blocks, which all of the below is about", selection->count);
    fact(report, "Selected");
}

static void put_missing(struct report *report)
{
    const struct tm_model *model = report->model;
    tm_document_heading(&report->document, "What is lost or missing");
    size_t notes = tm_model_notes(model);
    if (model->lost) {
        tm_text_print(fresh(report), "%" PRIu64 " allocations were not recorded: there was no memory for it",
                      model->lost);
        item(report);
    }
    if (model->incomplete_count) {
        tm_text_print(fresh(report), "part of the table is missing, so that all numbers are lower bounds:");
        item(report);
    }
    for (size_t i = 0; i < notes; i++) {
        tm_text_print(fresh(report), "%s", model->incomplete[i]);
        item(report);
    }
    if (notes < model->incomplete_count) {
        tm_text_print(fresh(report), "and %zu more", model->incomplete_count - notes);
        item(report);
    }
    if (report->request->target->truncated) {
        tm_text_print(fresh(report), "the core file ends before the memory does");
        item(report);
    }
    if (!model->tracing) {
        tm_text_print(fresh(report), "tracing was stopped: nothing is known of later allocations");
        item(report);
    }
    if (!model->lost && !model->incomplete_count && model->tracing)
        tm_document_paragraph(&report->document, "Nothing of what was traced.");
}

/* ---- what holds it -------------------------------------------------------------------------------------------------- */

static double whole(const struct report *report)
{
    const struct tm_selection *selection = report->request->selection;
    return selection ? (double)selection->size : (double)report->model->size;
}

static void add_share(struct tm_text *text, const struct report *report, int64_t size)
{
    double all = whole(report);
    tm_text_print(text, "%.1f%%", all > 0 ? (double)size * 100 / all : 0.0);
}

static void next_cell(struct tm_text *row)
{
    tm_text_add(row, "", 1);
}

static struct tm_error *put_lines(struct report *report, uint64_t limit)
{
    static const struct tm_document_column columns[] = {
        {"Size", 10}, {"Share", 6}, {"Blocks", 9}, {"Average", 10}, {"Where", 0},
    };
    struct tm_request *request = report->request;
    struct tm_statistics statistics;
    struct tm_error *error =
        tm_statistics_make(report->model, tm_request_totals(request), TM_GROUP_LINENO, false, limit, &statistics);
    if (error)
        return error;
    tm_document_heading(&report->document, "Lines that hold the most");
    if (statistics.count)
        tm_document_table(&report->document, columns, sizeof(columns) / sizeof(columns[0]));
    else
        tm_document_paragraph(&report->document, "There are no live blocks.");
    for (size_t i = 0; i < statistics.count; i++) {
        const struct tm_statistic *statistic = &statistics.items[i];
        struct tm_text *row = fresh(report);
        tm_text_add_size(row, (double)statistic->size, false);
        next_cell(row);
        add_share(row, report, statistic->size);
        next_cell(row);
        tm_text_print(row, "%" PRId64, statistic->count);
        next_cell(row);
        if (statistic->count)
            tm_text_add_size(row, (double)statistic->size / (double)statistic->count, false);
        next_cell(row);
        tm_text_group(row, report->model, TM_GROUP_LINENO, statistic->location);
        next_cell(row);
        tm_text_source_line(row, request, statistic->location);
        next_cell(row);
        tm_document_row(&report->document, row);
    }
    if (statistics.groups > statistics.count) {
        struct tm_text *text = fresh(report);
        tm_text_print(text, "%zu other lines hold ", statistics.groups - statistics.count);
        tm_text_add_size(text, (double)statistics.rest_size, false);
        tm_text_print(text, " in %" PRId64 " blocks.", statistics.rest_count);
        tm_document_paragraph(&report->document, bytes_of(text));
    }
    tm_statistics_free(&statistics);
    return NULL;
}

static int32_t collect(void *data, int32_t stream, const char *bytes, uint64_t size)
{
    (void)stream;
    tm_text_add(data, bytes, size);
    return 0;
}

/* As tm_print_traceback() has it, but for another page. */
static void put_traceback(struct report *report, uint32_t stack)
{
    struct tm_text *text = fresh(report);
    const struct tm_face face = {.size = sizeof(face), .data = text, .write = collect};
    struct tm_output output = {.face = &face}, *before = report->request->output;
    report->request->output = &output;
    tm_print_traceback(report->request, stack, "");
    tm_output_all(&output);
    report->request->output = before;
    tm_text_free(&output.text);
    tm_document_code(&report->document, text);
}

static struct tm_error *put_tracebacks(struct report *report, uint64_t limit)
{
    struct tm_statistics statistics;
    tm_document_heading(&report->document, "Tracebacks that hold the most");
    if (report->model->frame_limit == 1) {
        tm_document_paragraph(&report->document, "One frame of each was recorded, the line.  More: tm run -n 25");
        return NULL;
    }
    struct tm_error *error = tm_statistics_make(report->model, tm_request_totals(report->request), TM_GROUP_TRACEBACK,
                                                false, limit, &statistics);
    if (error)
        return error;
    for (size_t i = 0; i < statistics.count; i++) {
        const struct tm_statistic *statistic = &statistics.items[i];
        struct tm_text *text = fresh(report);
        tm_text_add_size(text, (double)statistic->size, false);
        tm_text_print(text, " in %" PRId64 " blocks (", statistic->count);
        add_share(text, report, statistic->size);
        tm_text_print(text, "), most recent call last:");
        tm_document_paragraph(&report->document, bytes_of(text));
        put_traceback(report, statistic->stack);
    }
    if (!statistics.count)
        tm_document_paragraph(&report->document, "There are no live blocks.");
    tm_statistics_free(&statistics);
    return NULL;
}

static struct tm_error *put_blocks(struct report *report, uint64_t limit)
{
    static const struct tm_document_column columns[] = {{"Size", 10}, {"Address", 0}, {"Where", 0}};
    struct tm_block *blocks = NULL;
    size_t count = 0;
    struct tm_error *error = tm_blocks_biggest(report->request, limit, &blocks, &count);
    tm_document_heading(&report->document, "Biggest blocks");
    /* A snapshot may be without them: the rest of the page is no worse for it. */
    if (error && error->code != TM_ERROR_NO_MEMORY && error->code != TM_ERROR_INTERRUPTED) {
        struct tm_text *why = fresh(report);
        tm_text_print(why, "Not known: ");
        tm_text_add_name(why, (struct tm_string_ref){error->what, (uint32_t)strlen(error->what)});
        tm_document_paragraph(&report->document, bytes_of(&report->scratch));
        tm_error_destroy(error);
        return NULL;
    }
    if (!error && count)
        tm_document_table(&report->document, columns, sizeof(columns) / sizeof(columns[0]));
    else if (!error)
        tm_document_paragraph(&report->document, "There are no live blocks.");
    for (size_t i = 0; i < count && !error; i++) {
        uint32_t stack = blocks[i].stack < report->model->stack_count ? blocks[i].stack : 0; /* newer than the model */
        uint32_t location = report->model->stacks[stack].location;
        struct tm_text *row = fresh(report);
        tm_text_add_size(row, (double)blocks[i].size, false);
        next_cell(row);
        tm_text_print(row, "0x%012" PRIx64, blocks[i].address);
        next_cell(row);
        tm_text_group(row, report->model, TM_GROUP_LINENO, location);
        next_cell(row);
        tm_text_source_line(row, report->request, location);
        next_cell(row);
        tm_document_row(&report->document, row);
    }
    free(blocks);
    return error;
}

/* ---- the page ------------------------------------------------------------------------------------------------------- */

static struct tm_error *put_page(struct report *report)
{
    uint64_t limit = report->request->limit;
    struct tm_text *text = fresh(report);
    tm_text_print(text, "Python memory of process %d", (int)report->model->pid);
    tm_document_begin(&report->document, report->model->pid ? bytes_of(text) : "Python memory");
    put_process(report);
    put_totals(report);
    put_missing(report);
    struct tm_error *error = put_lines(report, limit ? limit : 10);
    if (!error)
        error = put_tracebacks(report, limit ? limit : 3);
    if (!error)
        error = put_blocks(report, limit ? limit : 10);
    if (error)
        return error;
    tm_text_print(fresh(report), "Made by tm report, version %s.", tm_version());
    tm_document_paragraph(&report->document, bytes_of(&report->scratch));
    tm_document_end(&report->document);
    return report->document.text->failed || report->scratch.failed ? tm_error_no_memory() : NULL;
}

static struct tm_error *finish_file(struct tm_request *request, struct tm_new_file *file, const struct tm_text *page)
{
    struct tm_error *error = tm_new_file_write(file, page->bytes, page->size);
    if (!error)
        error = tm_new_file_finish(file);
    if (error)
        return error;
    struct tm_text *text = &request->output->text;
    tm_text_add_name(text, (struct tm_string_ref){request->file, (uint32_t)strlen(request->file)});
    tm_text_print(text, ": ");
    tm_text_add_size(text, (double)file->size, false);
    tm_text_print(text, "\n");
    return NULL;
}

struct tm_error *tm_run_report(struct tm_request *request)
{
    struct tm_text page = {0};
    struct tm_new_file file = {.fd = -1};
    struct report report = {
        .request = request,
        .model = request->model,
        .document = {.format = (enum tm_document_format)request->report_format, .text = &page},
    };
    struct tm_error *error = request->file ? tm_new_file_open(&file, request->file, request->force) : NULL;
    if (!error && request->file)
        error = tm_new_file_share(&file);
    if (!error)
        error = put_page(&report);
    if (!error && request->file)
        error = finish_file(request, &file, &page);
    else if (!error)
        tm_text_add(&request->output->text, page.bytes, page.size);
    tm_new_file_close(&file);
    tm_text_free(&report.scratch);
    tm_text_free(&page);
    return error;
}
