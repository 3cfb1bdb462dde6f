/* SPDX-License-Identifier: MIT */
/* export: the whole table in a format of other tools, or as a page to look at. */
#include <string.h>

#include "export.h"
#include "page.h"

struct format {
    struct tm_error *(*write)(struct tm_export *export);
    const char *suffix; /* for examples */
    bool for_files;     /* nothing for a terminal or a debugger's window */
    bool counts;        /* knows --count */
    bool compares;      /* knows --baseline */
};

enum {
    JSON,
    COLLAPSED,
    SPEEDSCOPE,
    PPROF,
    TRACEMALLOC,
    HTML
};
const char *const tm_format_names[] = {"json", "collapsed", "speedscope", "pprof", "tracemalloc", "html", NULL};
static const struct format formats[] = {
    [JSON] = {tm_export_json, "json", false, false, false},
    [COLLAPSED] = {tm_export_collapsed, "folded", false, true, false},
    [SPEEDSCOPE] = {tm_export_speedscope, "speedscope.json", false, true, false},
    [PPROF] = {tm_export_pprof, "pb.gz", true, false, false},
    [TRACEMALLOC] = {tm_export_tracemalloc, "pickle", true, false, false},
    [HTML] = {tm_export_html, "html", true, false, true},
};

struct tm_error *tm_check_export(const struct tm_request *request)
{
    const char *name = tm_format_names[request->format];
    const struct format *format = &formats[request->format];
    if (request->by_count && !format->counts)
        return tm_error_because(tm_error(TM_ERROR_USAGE, "--count cannot be used with --format %s", name),
                                "it has both bytes and blocks");
    if (request->old && !format->compares)
        return tm_error_try(tm_error(TM_ERROR_USAGE, "--baseline cannot be used with --format %s", name),
                            "--format html, or tm diff");
    if (request->format == HTML && !tm_page_size())
        return tm_error_try(tm_error_because(tm_error(TM_ERROR_USAGE, "the html format is not in this build"),
                                             "the page is made of packages from npm, which was not there"),
                            "make web, in the sources of tm (it needs nodejs and npm)");
    if (!request->file && format->for_files && (request->face->width || tm_face_has_target(request->face)))
        return tm_error_try(
            tm_error_because(tm_error(TM_ERROR_USAGE, "%s is nothing to read here", name), "it is for a file"),
            "-o tm.%s", format->suffix);
    return NULL;
}

/* ---- sink ----------------------------------------------------------------------------------------------------------- */

static struct tm_error *open_sink(const struct tm_request *request, struct tm_sink *sink)
{
    *sink = (struct tm_sink){.file.fd = -1};
    if (!request->file) {
        sink->output = request->output;
        sink->text = &request->output->text;
        return NULL;
    }
    sink->text = &sink->own;
    struct tm_error *error = tm_new_file_open(&sink->file, request->file, request->force);
    /* What is made to be shown is no secret of its owner, unless his umask says so. */
    return error ? error : tm_new_file_share(&sink->file);
}

static struct tm_error *finish_file(struct tm_request *request, struct tm_sink *sink)
{
    if (sink->own.failed)
        return tm_error_no_memory();
    struct tm_error *error = tm_new_file_write(&sink->file, sink->own.bytes, sink->own.size);
    if (!error)
        error = tm_new_file_finish(&sink->file);
    if (!error)
        tm_print_file(request, sink->file.size);
    return error;
}

/* A redirected answer that is cut off must not look like a whole one.  On a terminal, whoever reads has had enough. */
static struct tm_error *finish_output(struct tm_request *request, struct tm_error *error)
{
    const struct tm_face *face = request->face;
    tm_request_release(request);
    if (!error)
        tm_output_all(request->output);
    if (!request->output->closed || (face->interrupted && face->interrupted(face->data)))
        return error;
    tm_error_destroy(error);
    if (face->width || tm_face_has_target(face))
        return NULL;
    return tm_error_try(tm_error_because(tm_error(TM_ERROR_SYSTEM, "the output could not be written"),
                                         "the disk is full, or nobody reads it"),
                        "-o FILE, which is written as a whole or not at all");
}

struct tm_error *tm_run_export(struct tm_request *request)
{
    struct tm_sink sink = {.file.fd = -1};
    struct tm_export export = {
        .request = request,
        .fresh = {request->target, request->model, request->selection},
        .sink = &sink,
    };
    struct tm_error *error = open_sink(request, &sink);
    if (!error && request->old)
        error = tm_request_open_old(request, &export.old);
    if (!error)
        error = formats[request->format].write(&export);
    if (!request->file)
        error = finish_output(request, error);
    else if (!error)
        error = finish_file(request, &sink);
    tm_source_close(&export.old);
    tm_new_file_close(&sink.file);
    tm_text_free(&sink.own);
    return error;
}
