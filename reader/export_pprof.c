/* SPDX-License-Identifier: MIT */
/*
 * pprof: what `go tool pprof`, Grafana Pyroscope and Parca take, through protobuf-c, compressed as they expect it.
 *
 * A message may be written in parts that follow one another: repeated fields go on where they ended.  So each string,
 * location and sample is packed for itself, and a table with a million tracebacks needs no more memory than a small one.
 */
#define _GNU_SOURCE /* memrchr */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <zlib.h>

#include "differences.h"
#include "export.h"
#include "profile.pb-c.h"

#define GZIP (15 + 16) /* zlib: a window of 2^15, and gzip's header */

struct writer {
    struct tm_export *export;
    const struct tm_model *model;
    z_stream stream;
    struct tm_text packed;  /* on its way into the stream */
    struct tm_text scratch; /* a string being made */
    int64_t string_count;   /* written so far */
    int64_t *strings;       /* per string of the model: its number; 0: not written yet */
    uint32_t *functions;    /* per location: number of its function */
    bool *function_written; /* per function */
    bool *location_written; /* per location */
    uint64_t *ids;          /* of a sample */
    uint32_t id_room;
};

/* ---- bytes ---------------------------------------------------------------------------------------------------------- */

static struct tm_error *compress_all(struct writer *writer, int flush)
{
    unsigned char piece[16384];
    writer->stream.next_in = (unsigned char *)writer->packed.bytes;
    writer->stream.avail_in = (unsigned)writer->packed.size;
    do {
        writer->stream.next_out = piece;
        writer->stream.avail_out = sizeof(piece);
        int result = deflate(&writer->stream, flush);
        if (result == Z_STREAM_ERROR)
            return tm_error_no_memory();
        tm_text_add(writer->export->sink->text, piece, sizeof(piece) - writer->stream.avail_out);
    } while (!writer->stream.avail_out);
    writer->packed.size = 0;
    return writer->packed.failed ? tm_error_no_memory() : tm_sink_some(writer->export->sink);
}

/* protobuf-c hands back the buffer, which is the first member. */
struct to_writer {
    ProtobufCBuffer buffer;
    struct writer *writer;
};

static void append(ProtobufCBuffer *buffer, size_t size, const uint8_t *bytes)
{
    tm_text_add(&((struct to_writer *)buffer)->writer->packed, bytes, size);
}

static struct tm_error *put(struct writer *writer, const Tm__Profile *part)
{
    struct to_writer to = {{append}, writer};
    tm__profile__pack_to_buffer(part, &to.buffer);
    return writer->packed.size < 65536 ? NULL : compress_all(writer, Z_NO_FLUSH);
}

/* ---- strings -------------------------------------------------------------------------------------------------------- */

static struct tm_error *put_string(struct writer *writer, const char *string, int64_t *ret)
{
    Tm__Profile part = TM__PROFILE__INIT;
    char *table[] = {(char *)string};
    part.n_string_table = 1;
    part.string_table = table;
    *ret = writer->string_count++;
    return put(writer, &part);
}

/* Names out of a target may be any bytes; protobuf's strings may not. */
static struct tm_error *put_name(struct writer *writer, uint32_t string, int64_t *ret)
{
    if (string && !writer->strings[string]) {
        writer->scratch.size = 0;
        tm_text_add_name(&writer->scratch, tm_model_text(writer->model, string));
        struct tm_error *error =
            put_string(writer, writer->scratch.bytes ? writer->scratch.bytes : "", &writer->strings[string]);
        if (error)
            return error;
    }
    *ret = writer->strings[string];
    return NULL;
}

/* ---- places --------------------------------------------------------------------------------------------------------- */

/* "handle (shop/views.py)".  pprof adds up functions of equal names, and every file has a "<module>". */
static struct tm_error *put_function_name(struct writer *writer, const struct tm_model_location *place, int64_t *ret)
{
    struct tm_string_ref file = tm_model_text(writer->model, place->filename);
    const char *end = file.bytes + file.length, *slash = memrchr(file.bytes, '/', file.length);
    if (slash)
        slash = memrchr(file.bytes, '/', (size_t)(slash - file.bytes));
    const char *start = slash ? slash + 1 : file.bytes;
    struct tm_text *text = &writer->scratch;
    text->size = 0;
    if (place->name) {
        tm_text_add_name(text, tm_model_text(writer->model, place->name));
        tm_text_print(text, " (");
    }
    tm_text_add_name(text, (struct tm_string_ref){start, (uint32_t)(end - start)});
    tm_text_print(text, place->name ? ")" : "");
    return put_string(writer, text->bytes ? text->bytes : "", ret);
}

static struct tm_error *put_function(struct writer *writer, const struct tm_model_location *place, uint32_t number)
{
    Tm__Profile part = TM__PROFILE__INIT;
    Tm__Function function = TM__FUNCTION__INIT, *functions[] = {&function};
    part.n_function = 1;
    part.function = functions;
    function.id = (uint64_t)number + 1;
    struct tm_error *error = put_function_name(writer, place, &function.name);
    if (!error)
        error = put_name(writer, place->name, &function.system_name);
    if (!error)
        error = put_name(writer, place->filename, &function.filename);
    return error ? error : put(writer, &part);
}

static struct tm_error *put_location(struct writer *writer, uint32_t number)
{
    const struct tm_model_location *place = &writer->model->locations[number];
    uint32_t of = writer->functions[number];
    struct tm_error *error = NULL;
    if (writer->location_written[number])
        return NULL;
    writer->location_written[number] = true;
    if (!writer->function_written[of]) {
        writer->function_written[of] = true;
        error = put_function(writer, place, of);
    }
    Tm__Profile part = TM__PROFILE__INIT;
    Tm__Location location = TM__LOCATION__INIT, *locations[] = {&location};
    Tm__Line line = TM__LINE__INIT, *lines[] = {&line};
    part.n_location = 1;
    part.location = locations;
    location.id = (uint64_t)number + 1;
    location.mapping_id = 1;
    location.n_line = 1;
    location.line = lines;
    line.function_id = (uint64_t)of + 1;
    line.line = place->lineno;
    return error ? error : put(writer, &part);
}

static struct tm_error *put_sample(struct writer *writer, const struct tm_statistic *item, struct tm_frames *frames)
{
    struct tm_error *error = tm_frames_get(writer->model, item->stack, frames);
    if (!error && frames->count > writer->id_room) {
        uint64_t *ids = reallocarray(writer->ids, frames->count, sizeof(*ids));
        if (!ids)
            return tm_error_no_memory();
        writer->ids = ids;
        writer->id_room = frames->count;
    }
    for (uint32_t i = 0; i < frames->count && !error; i++) {
        writer->ids[i] = (uint64_t)frames->items[i] + 1;
        error = put_location(writer, frames->items[i]);
    }
    Tm__Profile part = TM__PROFILE__INIT;
    Tm__Sample sample = TM__SAMPLE__INIT, *samples[] = {&sample};
    int64_t values[] = {item->count, item->size};
    part.n_sample = 1;
    part.sample = samples;
    sample.n_location_id = frames->count;
    sample.location_id = writer->ids;
    sample.n_value = 2;
    sample.value = values;
    return error ? error : put(writer, &part);
}

/* ---- the rest of it ------------------------------------------------------------------------------------------------- */

static bool is_interpreter(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return !strncmp(name, "python", 6) || !strncmp(name, "libpython", 9);
}

/* The interpreter, as far as the target has it mapped: gcore leaves out what can be read from the file. */
static const char *find_interpreter(const struct tm_target *target, Tm__Mapping *mapping)
{
    const char *path = NULL;
    for (size_t i = 0; target && i < target->region_count; i++) {
        const struct tm_region *region = &target->regions[i];
        if (!region->path || !(path ? !strcmp(region->path, path) : is_interpreter(region->path)))
            continue;
        if (!path)
            mapping->memory_start = region->start;
        mapping->memory_limit = region->end;
        path = region->path;
    }
    return path ? path : "python";
}

static struct tm_error *put_mapping(struct writer *writer)
{
    Tm__Profile part = TM__PROFILE__INIT;
    Tm__Mapping mapping = TM__MAPPING__INIT, *mappings[] = {&mapping};
    part.n_mapping = 1;
    part.mapping = mappings;
    mapping.id = 1;
    mapping.has_functions = mapping.has_filenames = mapping.has_line_numbers = true;
    const char *path = find_interpreter(writer->model->target, &mapping);
    writer->scratch.size = 0;
    tm_text_add_name(&writer->scratch, (struct tm_string_ref){path, (uint32_t)strlen(path)});
    struct tm_error *error = put_string(writer, writer->scratch.bytes ? writer->scratch.bytes : "", &mapping.filename);
    return error ? error : put(writer, &part);
}

static struct tm_error *put_comment(struct writer *writer, const char *sentence)
{
    Tm__Profile part = TM__PROFILE__INIT;
    int64_t number;
    part.n_comment = 1;
    part.comment = &number;
    writer->scratch.size = 0;
    tm_text_add_name(&writer->scratch, (struct tm_string_ref){sentence, (uint32_t)strlen(sentence)});
    struct tm_error *error = put_string(writer, writer->scratch.bytes ? writer->scratch.bytes : "", &number);
    return error ? error : put(writer, &part);
}

/* pprof -comments shows them. */
static struct tm_error *put_comments(struct writer *writer)
{
    const struct tm_model *model = writer->model;
    char *source = tm_model_source(model);
    struct tm_error *error = source ? put_comment(writer, source) : tm_error_no_memory();
    free(source);
    if (!error && model->incomplete_count)
        error = put_comment(writer, "lower bound: part of the table is missing");
    size_t notes = tm_model_notes(model);
    for (size_t i = 0; i < notes && !error; i++)
        error = put_comment(writer, model->incomplete[i]);
    return error;
}

/* When it was so: now if it lives, otherwise when the file was written. */
static int64_t time_of(const struct tm_target *target)
{
    struct stat status;
    struct timespec now;
    if (target && !target->live && target->name && stat(target->name, &status) == 0)
        now = status.st_mtim;
    else
        clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct tm_error *put_head(struct writer *writer)
{
    static const char *const words[] = {"", "inuse_objects", "count", "inuse_space", "bytes", "space"};
    enum {
        EMPTY,
        OBJECTS,
        COUNT,
        SPACE_USED,
        BYTES,
        SPACE
    };
    int64_t number;
    struct tm_error *error = NULL;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && !error; i++)
        error = put_string(writer, words[i], &number);
    Tm__Profile part = TM__PROFILE__INIT;
    Tm__ValueType objects = TM__VALUE_TYPE__INIT, space = TM__VALUE_TYPE__INIT, period = TM__VALUE_TYPE__INIT;
    Tm__ValueType *types[] = {&objects, &space};
    objects.type = OBJECTS;
    objects.unit = COUNT;
    space.type = SPACE_USED;
    space.unit = BYTES;
    period.type = SPACE;
    period.unit = BYTES;
    part.n_sample_type = 2;
    part.sample_type = types;
    part.default_sample_type = SPACE_USED;
    part.period_type = &period;
    part.period = 1; /* every byte is counted, none is estimated */
    part.time_nanos = time_of(writer->model->target);
    if (!error)
        error = put(writer, &part);
    if (!error)
        error = put_mapping(writer);
    return error ? error : put_comments(writer);
}

static struct tm_error *put_all(struct writer *writer)
{
    struct tm_statistics statistics = {0};
    struct tm_frames frames = {0};
    struct tm_error *error = put_head(writer);
    if (!error)
        error = tm_export_statistics(writer->export, &statistics);
    for (size_t i = 0; i < statistics.count && !error; i++) {
        error = put_sample(writer, &statistics.items[i], &frames);
        if (!error)
            error = tm_export_step(writer->export);
    }
    tm_frames_free(&frames);
    tm_statistics_free(&statistics);
    if (!error && writer->scratch.failed)
        error = tm_error_no_memory();
    return error ? error : compress_all(writer, Z_FINISH);
}

struct tm_error *tm_export_pprof(struct tm_export *export)
{
    const struct tm_model *model = export->fresh.model;
    struct writer writer = {.export = export, .model = model};
    if (deflateInit2(&writer.stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return tm_error_no_memory();
    writer.strings = calloc(model->strings.count, sizeof(*writer.strings));
    writer.function_written = calloc(model->location_count, sizeof(*writer.function_written));
    writer.location_written = calloc(model->location_count, sizeof(*writer.location_written));
    struct tm_error *error = tm_number_lines(&model, 1, TM_GROUP_FUNCTION, &writer.functions);
    if (!error && !(writer.strings && writer.function_written && writer.location_written))
        error = tm_error_no_memory();
    if (!error)
        error = put_all(&writer);
    deflateEnd(&writer.stream);
    tm_text_free(&writer.packed);
    tm_text_free(&writer.scratch);
    free(writer.strings);
    free(writer.functions);
    free(writer.function_written);
    free(writer.location_written);
    free(writer.ids);
    return error;
}
