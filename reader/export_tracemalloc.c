/* SPDX-License-Identifier: MIT */
/*
 * tracemalloc: a file for the standard library's tracemalloc.Snapshot.load(), in the shape that the traced program's own
 * version of Python has.  Traces are single blocks there, so this is the one format that walks all of them.
 */
#include <stdlib.h>

#include "export.h"
#include "pickle.h"

#define BATCH 1000            /* items that Python's own pickler appends at once */
#define WITH_DEPTH 0x03090000 /* the first Python whose traces have total_nframe */

struct writer {
    struct tm_export *export;
    const struct tm_model *model;
    struct tm_pickle pickle;
    struct tm_frames frames;
    bool with_depth;
    size_t in_batch;
    uint32_t *filenames;  /* per string: what remember() said; 0: not written yet */
    uint32_t *locations;  /* per location: the same for (filename, lineno) */
    uint32_t *tracebacks; /* per stack: the same for the tuple of frames */
};

static void put_filename(struct writer *writer, uint32_t string)
{
    uint32_t *known = &writer->filenames[string];
    if (*known) {
        tm_pickle_again(&writer->pickle, *known);
    } else {
        tm_pickle_string(&writer->pickle, tm_model_text(writer->model, string));
        *known = tm_pickle_remember(&writer->pickle);
    }
}

static void put_frame(struct writer *writer, uint32_t location)
{
    const struct tm_model_location *place = &writer->model->locations[location];
    uint32_t *known = &writer->locations[location];
    if (*known) {
        tm_pickle_again(&writer->pickle, *known);
        return;
    }
    put_filename(writer, place->filename);
    tm_pickle_number(&writer->pickle, place->lineno);
    tm_pickle_code(&writer->pickle, TM_PICKLE_TUPLE2);
    *known = tm_pickle_remember(&writer->pickle);
}

/* Newest frame first: that is how _tracemalloc hands them to tracemalloc.py. */
static struct tm_error *put_traceback(struct writer *writer, uint32_t stack)
{
    uint32_t *known = &writer->tracebacks[stack];
    if (*known) {
        tm_pickle_again(&writer->pickle, *known);
        return NULL;
    }
    struct tm_error *error = tm_frames_get(writer->model, stack, &writer->frames);
    if (error)
        return error;
    tm_pickle_code(&writer->pickle, TM_PICKLE_MARK);
    for (uint32_t i = 0; i < writer->frames.count; i++)
        put_frame(writer, writer->frames.items[i]);
    tm_pickle_code(&writer->pickle, TM_PICKLE_TUPLE);
    *known = tm_pickle_remember(&writer->pickle);
    return NULL;
}

static struct tm_error *put_trace(struct writer *writer, const struct tm_block *block)
{
    struct tm_pickle *pickle = &writer->pickle;
    if (!writer->in_batch)
        tm_pickle_code(pickle, TM_PICKLE_MARK);
    if (writer->with_depth)
        tm_pickle_code(pickle, TM_PICKLE_MARK);
    tm_pickle_number(pickle, block->domain);
    tm_pickle_number(pickle, block->size);
    struct tm_error *error = put_traceback(writer, block->stack);
    if (error)
        return error;
    uint32_t depth = writer->model->stacks[block->stack].depth;
    if (!writer->with_depth) {
        tm_pickle_code(pickle, TM_PICKLE_TUPLE3);
    } else {
        if (depth)
            tm_pickle_number(pickle, depth);
        else
            tm_pickle_code(pickle, TM_PICKLE_NONE);
        tm_pickle_code(pickle, TM_PICKLE_TUPLE);
    }
    if (++writer->in_batch == BATCH) {
        tm_pickle_code(pickle, TM_PICKLE_APPENDS);
        writer->in_batch = 0;
    }
    return NULL;
}

static struct tm_error *put_batch(void *context, const struct tm_block *blocks, size_t count)
{
    struct writer *writer = context;
    struct tm_error *error = NULL;
    for (size_t i = 0; i < count && !error; i++) {
        if (!tm_selection_keeps(writer->export->fresh.selection, blocks[i].stack, blocks[i].domain))
            continue;
        error = put_trace(writer, &blocks[i]);
        if (!error)
            error = tm_export_step(writer->export);
    }
    return error;
}

static void put_literal(struct writer *writer, const char *literal, uint32_t length)
{
    tm_pickle_string(&writer->pickle, (struct tm_string_ref){literal, length});
}

/* Snapshot with {"traces": _Traces with {"_traces": [...]}, "traceback_limit": N} */
static struct tm_error *put_snapshot(struct writer *writer)
{
    struct tm_pickle *pickle = &writer->pickle;
    tm_pickle_begin(pickle, writer->export->sink->text);
    tm_pickle_object(pickle, "Snapshot");
    tm_pickle_code(pickle, TM_PICKLE_EMPTY_DICT);
    tm_pickle_code(pickle, TM_PICKLE_MARK);
    put_literal(writer, "traces", 6);
    tm_pickle_object(pickle, "_Traces");
    tm_pickle_code(pickle, TM_PICKLE_EMPTY_DICT);
    tm_pickle_code(pickle, TM_PICKLE_MARK);
    put_literal(writer, "_traces", 7);
    tm_pickle_code(pickle, TM_PICKLE_EMPTY_LIST);
    struct tm_error *error = tm_model_each_block(writer->export->fresh.model, put_batch, writer);
    if (writer->in_batch)
        tm_pickle_code(pickle, TM_PICKLE_APPENDS);
    tm_pickle_code(pickle, TM_PICKLE_SET_ITEMS);
    tm_pickle_code(pickle, TM_PICKLE_BUILD);
    put_literal(writer, "traceback_limit", 15);
    tm_pickle_number(pickle, writer->model->frame_limit);
    tm_pickle_code(pickle, TM_PICKLE_SET_ITEMS);
    tm_pickle_code(pickle, TM_PICKLE_BUILD);
    tm_pickle_end(pickle);
    return error;
}

struct tm_error *tm_export_tracemalloc(struct tm_export *export)
{
    const struct tm_model *model = export->fresh.model;
    struct writer writer = {
        .export = export,
        .model = model,
        .with_depth = !model->python_version || model->python_version >= WITH_DEPTH,
        .filenames = calloc(model->strings.count, sizeof(uint32_t)),
        .locations = calloc(model->location_count, sizeof(uint32_t)),
        .tracebacks = calloc(model->stack_count, sizeof(uint32_t)),
    };
    struct tm_error *error =
        writer.filenames && writer.locations && writer.tracebacks ? put_snapshot(&writer) : tm_error_no_memory();
    free(writer.filenames);
    free(writer.locations);
    free(writer.tracebacks);
    tm_frames_free(&writer.frames);
    return error;
}
