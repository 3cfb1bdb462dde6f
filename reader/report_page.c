/* SPDX-License-Identifier: MIT */
/* A report as a page to read, or to put into an incident. */
#include <inttypes.h>
#include <string.h>

#include "document.h"
#include "report.h"

struct page {
    const struct tm_report *report;
    const struct tm_model *model;
    struct tm_document document;
    struct tm_text scratch; /* of one value, sentence or row */
};

/* Starts a new text in scratch. */
static struct tm_text *fresh(struct page *page)
{
    page->scratch.size = 0;
    return &page->scratch;
}

static const char *bytes_of(const struct tm_text *text)
{
    return text->bytes && text->size ? text->bytes : "";
}

static void fact(struct page *page, const char *name)
{
    if (page->scratch.size)
        tm_document_fact(&page->document, name, bytes_of(&page->scratch));
}

/* ---- who and when --------------------------------------------------------------------------------------------------- */

static void put_moment(struct page *page)
{
    tm_text_time(fresh(page), page->report->moment);
    fact(page, page->report->written ? "Written" : "Read");
}

static void put_process(struct page *page)
{
    const struct tm_model *model = page->model;
    const struct tm_target *target = page->report->request->target;
    tm_text_print(fresh(page), "%d", (int)model->pid);
    if (model->pid)
        fact(page, "Process");
    struct tm_text *text = fresh(page);
    if (target->program)
        tm_text_add_name(text, (struct tm_string_ref){target->program, (uint32_t)strlen(target->program)});
    fact(page, "Program");
    tm_report_state(page->report, fresh(page));
    fact(page, "State");
    put_moment(page);
    text = fresh(page);
    if (model->python[0])
        tm_text_print(text, "CPython %s", model->python);
    fact(page, "Python");
    text = fresh(page);
    tm_text_print(text, "by %s%s%s, %s", model->tracer, model->tracer_version[0] ? " " : "", model->tracer_version,
                  model->tracing ? "on" : "stopped");
    if (model->started) {
        tm_text_print(text, " since ");
        tm_text_time(text, tm_seconds(model->started));
    }
    tm_text_print(text, ", %" PRIu32 " frame%s", model->frame_limit, model->frame_limit == 1 ? "" : "s");
    fact(page, "Traced");
}

static void put_totals(struct page *page)
{
    const struct tm_model *model = page->model;
    const struct tm_selection *selection = page->report->request->selection;
    struct tm_text *text = fresh(page);
    tm_text_print(text, "%s", model->incomplete_count ? "at least " : "");
    tm_text_add_size(text, (double)model->size, false);
    tm_text_print(text, " in %" PRIu64 " blocks", model->count);
    fact(page, "Memory");
    tm_text_add_size(fresh(page), (double)model->peak, false);
    fact(page, "Peak");
    if (!selection)
        return;
    text = fresh(page);
    tm_text_add_size(text, (double)selection->size, false);
    tm_text_print(text, " in %" PRId64 " blocks, which all of the below is about", selection->count);
    fact(page, "Selected");
}

static void put_item(void *context, const char *sentence)
{
    struct page *page = context;
    tm_document_item(&page->document, sentence);
}

static void put_missing(struct page *page)
{
    tm_document_heading(&page->document, "What is lost or missing");
    if (!tm_report_missing(page->report, &page->scratch, put_item, page))
        tm_document_paragraph(&page->document, "Nothing of what was traced.");
}

/* ---- what holds it -------------------------------------------------------------------------------------------------- */

static double whole(const struct page *page)
{
    const struct tm_selection *selection = page->report->request->selection;
    return selection ? (double)selection->size : (double)page->model->size;
}

static void add_share(struct tm_text *text, const struct page *page, int64_t size)
{
    double all = whole(page);
    tm_text_print(text, "%.1f%%", all > 0 ? (double)size * 100 / all : 0.0);
}

static void next_cell(struct tm_text *row)
{
    tm_text_add(row, "", 1);
}

static void put_lines(struct page *page)
{
    static const struct tm_document_column columns[] = {
        {"Size", 10}, {"Share", 6}, {"Blocks", 9}, {"Average", 10}, {"Where", 0},
    };
    struct tm_request *request = page->report->request;
    const struct tm_statistics *lines = &page->report->lines;
    tm_document_heading(&page->document, "Lines that hold the most");
    if (lines->count)
        tm_document_table(&page->document, columns, sizeof(columns) / sizeof(columns[0]));
    else
        tm_document_paragraph(&page->document, "There are no live blocks.");
    for (size_t i = 0; i < lines->count; i++) {
        const struct tm_statistic *statistic = &lines->items[i];
        struct tm_text *row = fresh(page);
        tm_text_add_size(row, (double)statistic->size, false);
        next_cell(row);
        add_share(row, page, statistic->size);
        next_cell(row);
        tm_text_print(row, "%" PRId64, statistic->count);
        next_cell(row);
        if (statistic->count)
            tm_text_add_size(row, (double)statistic->size / (double)statistic->count, false);
        next_cell(row);
        tm_text_group(row, page->model, TM_GROUP_LINENO, statistic->location);
        next_cell(row);
        tm_text_source_line(row, request, statistic->location);
        next_cell(row);
        tm_document_row(&page->document, row);
    }
    if (lines->groups > lines->count) {
        struct tm_text *text = fresh(page);
        tm_text_print(text, "%zu other lines hold ", lines->groups - lines->count);
        tm_text_add_size(text, (double)lines->rest_size, false);
        tm_text_print(text, " in %" PRId64 " blocks.", lines->rest_count);
        tm_document_paragraph(&page->document, bytes_of(text));
    }
}

/* As tm_print_traceback() has it, but for this page. */
static void put_traceback(struct page *page, uint32_t stack)
{
    struct tm_request *request = page->report->request;
    struct tm_output output = {.face = request->face, .held = true}, *before = request->output;
    request->output = &output;
    tm_print_traceback(request, stack, "");
    request->output = before;
    tm_document_code(&page->document, &output.text);
    tm_text_free(&output.text);
}

static void put_tracebacks(struct page *page)
{
    const struct tm_statistics *tracebacks = &page->report->tracebacks;
    tm_document_heading(&page->document, "Tracebacks that hold the most");
    if (page->model->frame_limit == 1) {
        tm_document_paragraph(&page->document, "One frame of each was recorded, the line.  More: tm run -n 25");
        return;
    }
    for (size_t i = 0; i < tracebacks->count; i++) {
        const struct tm_statistic *statistic = &tracebacks->items[i];
        struct tm_text *text = fresh(page);
        tm_text_add_size(text, (double)statistic->size, false);
        tm_text_print(text, " in %" PRId64 " blocks (", statistic->count);
        add_share(text, page, statistic->size);
        tm_text_print(text, "), most recent call last:");
        tm_document_paragraph(&page->document, bytes_of(text));
        put_traceback(page, statistic->stack);
    }
    if (!tracebacks->count)
        tm_document_paragraph(&page->document, "There are no live blocks.");
}

static void put_blocks(struct page *page)
{
    static const struct tm_document_column columns[] = {{"Size", 10}, {"Address", 0}, {"Where", 0}};
    const struct tm_report *report = page->report;
    tm_document_heading(&page->document, "Biggest blocks");
    if (report->no_blocks) {
        const char *what = report->no_blocks->what;
        struct tm_text *why = fresh(page);
        tm_text_print(why, "Not known: ");
        tm_text_add_name(why, (struct tm_string_ref){what, (uint32_t)strlen(what)});
        tm_document_paragraph(&page->document, bytes_of(why));
        return;
    }
    if (report->block_count)
        tm_document_table(&page->document, columns, sizeof(columns) / sizeof(columns[0]));
    else
        tm_document_paragraph(&page->document, "There are no live blocks.");
    for (size_t i = 0; i < report->block_count; i++) {
        const struct tm_block *block = &report->blocks[i];
        uint32_t location = page->model->stacks[block->stack].location;
        struct tm_text *row = fresh(page);
        tm_text_add_size(row, (double)block->size, false);
        next_cell(row);
        tm_text_print(row, "0x%012" PRIx64, block->address);
        next_cell(row);
        tm_text_group(row, page->model, TM_GROUP_LINENO, location);
        next_cell(row);
        tm_text_source_line(row, report->request, location);
        next_cell(row);
        tm_document_row(&page->document, row);
    }
}

/* ---- the page ------------------------------------------------------------------------------------------------------- */

struct tm_error *tm_report_page(const struct tm_report *report, enum tm_document_format format, struct tm_text *text)
{
    struct page page = {
        .report = report,
        .model = report->model,
        .document = {.format = format, .text = text},
    };
    tm_text_print(fresh(&page), "Python memory of process %d", (int)page.model->pid);
    tm_document_begin(&page.document, page.model->pid ? bytes_of(&page.scratch) : "Python memory");
    put_process(&page);
    put_totals(&page);
    put_missing(&page);
    put_lines(&page);
    put_tracebacks(&page);
    put_blocks(&page);
    tm_text_print(fresh(&page), "Made by tm report, version %s.", tm_version());
    tm_document_paragraph(&page.document, bytes_of(&page.scratch));
    tm_document_end(&page.document);
    bool failed = text->failed || page.scratch.failed;
    tm_text_free(&page.scratch);
    return failed ? tm_error_no_memory() : NULL;
}
