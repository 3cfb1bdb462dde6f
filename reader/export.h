/* SPDX-License-Identifier: MIT */
/*
 * Exports: what others' tools show.  Each format is one file and one row of the table in verb_export.c; it writes to a sink
 * and knows nothing of where that leads.
 */
#ifndef TM_EXPORT_H
#define TM_EXPORT_H

#include "new_file.h"
#include "request.h"
#include "statistics.h"

/* A new file, or the face's output.  Writers add to `text`, and call tm_sink_some() now and then. */
struct tm_sink {
    struct tm_text *text;
    struct tm_output *output; /* NULL: a file */
    struct tm_text own;
    struct tm_new_file file;
};

/* Hands on what was collected if it is much. */
struct tm_error *tm_sink_some(struct tm_sink *sink);

struct tm_export {
    struct tm_request *request;
    struct tm_source fresh;
    struct tm_source old; /* model is NULL without --baseline */
    struct tm_sink *sink;
};

static inline const struct tm_total *tm_source_totals(const struct tm_source *side)
{
    return side->selection ? side->selection->totals : side->model->totals;
}

/* "json", ... of --format; NULL ends */
extern const char *const tm_format_names[];

struct tm_error *tm_export_json(struct tm_export *export);
struct tm_error *tm_export_collapsed(struct tm_export *export);
struct tm_error *tm_export_speedscope(struct tm_export *export);
struct tm_error *tm_export_pprof(struct tm_export *export);
struct tm_error *tm_export_tracemalloc(struct tm_export *export);
struct tm_error *tm_export_html(struct tm_export *export);

/* ---- what formats have in common ---------------------------------------------------------------------------------- */

/* All tracebacks, the biggest first. */
struct tm_error *tm_export_statistics(const struct tm_export *export, struct tm_statistics *ret);
/* Ctrl-C, and a sink that does not want more: to be called for each item. */
struct tm_error *tm_export_step(struct tm_export *export);
/* Bytes, or blocks if --count was given. */
static inline int64_t tm_export_value(const struct tm_export *export, const struct tm_statistic *item)
{
    return export->request->by_count ? item->count : item->size;
}

/* Locations of a traceback, newest first, at least one (the unknown one).  Kept between calls. */
struct tm_frames {
    uint32_t *items;
    uint32_t count;
    uint32_t room;
};
struct tm_error *tm_frames_get(const struct tm_model *model, uint32_t stack, struct tm_frames *frames);
void tm_frames_free(struct tm_frames *frames);

/* What is written for a location, made once for each that occurs. */
struct tm_frame_texts {
    const struct tm_model *model;
    void (*make)(struct tm_text *text, const struct tm_model *model, uint32_t location);
    struct tm_text all;
    struct tm_frame_text {
        size_t offset;
        size_t size; /* 0: not made yet */
    } * items;       /* per location */
};
struct tm_error *tm_frame_texts_init(struct tm_frame_texts *texts, const struct tm_model *model,
                                     void (*make)(struct tm_text *text, const struct tm_model *model,
                                                  uint32_t location));
void tm_frame_texts_add(struct tm_frame_texts *texts, uint32_t location, struct tm_text *text);
void tm_frame_texts_free(struct tm_frame_texts *texts);

/* "name (file:12)", or "file:12" if there are no names; base: only the last part of the path */
void tm_export_frame_name(struct tm_text *text, const struct tm_model *model, uint32_t location, bool base);

#endif
