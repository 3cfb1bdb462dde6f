/* SPDX-License-Identifier: MIT */
/* A model into a snapshot file: what is alive, and what that stands on.  Stacks, locations and names that nothing kept needs
 * are left out, so that what filters exclude is not in the file under any name. */
#define _GNU_SOURCE /* reallocarray */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zstd.h>

#include "new_file.h"
#include "redact.h"
#include "snapshot.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the structs of a snapshot are written as they lie in memory, which must be little-endian"
#endif

#define COMPRESSION_LEVEL 3

struct tm_snapshot_writer {
    struct tm_model *model;
    const struct tm_snapshot_options *options;
    struct tm_new_file file;
    ZSTD_CCtx *compressor;
    void *buffer;
    size_t room;
    struct tm_snapshot_section *sections;
    uint64_t section_count;

    /* New numbers of what is kept; by old number, 0: not kept (as number 0, which always is). */
    uint32_t *stacks;
    uint32_t *locations;
    uint32_t *strings;
    uint32_t stack_count;
    uint32_t location_count;
    uint32_t string_count;
};

/* ---- sections ------------------------------------------------------------------------------------------------------- */

static struct tm_error *put_frame(struct tm_snapshot_writer *writer, const void *bytes, size_t size, uint64_t *stored)
{
    size_t bound = ZSTD_compressBound(size);
    if (writer->room < bound) {
        free(writer->buffer);
        writer->buffer = malloc(bound);
        writer->room = writer->buffer ? bound : 0;
        if (!writer->buffer)
            return tm_error_no_memory();
    }
    size_t done = ZSTD_compress2(writer->compressor, writer->buffer, bound, bytes, size);
    if (ZSTD_isError(done))
        return tm_error_because(tm_error(TM_ERROR_SYSTEM, "cannot compress the snapshot"), "%s",
                                ZSTD_getErrorName(done));
    *stored = done;
    return tm_new_file_write(&writer->file, writer->buffer, done);
}

struct tm_error *tm_snapshot_put(struct tm_snapshot_writer *writer, enum tm_snapshot_kind kind, const void *elements,
                                 uint32_t element_size, uint64_t count)
{
    struct tm_snapshot_section *sections = reallocarray(writer->sections, writer->section_count + 1, sizeof(*sections));
    if (!sections)
        return tm_error_no_memory();
    writer->sections = sections;
    struct tm_snapshot_section *section = &sections[writer->section_count++];
    *section = (struct tm_snapshot_section){
        .kind = kind, .element_size = element_size, .offset = writer->file.size, .count = count};
    return put_frame(writer, elements, count * element_size, &section->stored);
}

static struct tm_error *put_directory(struct tm_snapshot_writer *writer)
{
    struct tm_snapshot_header header = {
        .version = TM_SNAPSHOT_VERSION,
        .header_size = sizeof(header),
        .directory_offset = writer->file.size,
        .section_count = writer->section_count,
    };
    memcpy(header.magic, TM_SNAPSHOT_MAGIC, sizeof(header.magic));
    struct tm_error *error = put_frame(writer, writer->sections, writer->section_count * sizeof(*writer->sections),
                                       &header.directory_stored);
    header.file_size = writer->file.size;
    return error ? error : tm_new_file_write_at(&writer->file, 0, &header, sizeof(header));
}

/* ---- what is kept --------------------------------------------------------------------------------------------------- */

static bool keeps_stack(const struct tm_snapshot_writer *writer, const struct tm_total *totals, uint32_t stack)
{
    const struct tm_selection *selection = writer->options->selection;
    if (totals[stack].bytes || totals[stack].blocks)
        return true;
    if (!writer->options->blocks)
        return false;
    /* Of a process that runs, blocks may be met whose stack was empty when its totals were read. */
    bool keeps = !selection;
    for (size_t i = 0; selection && i <= selection->domain_count; i++)
        keeps |= selection->keep[i][stack];
    return keeps;
}

/* Numbers the stacks in their old order, parents before children; below a traceback's last frame nothing is kept. */
static struct tm_error *choose_stacks(struct tm_snapshot_writer *writer, const struct tm_total *totals)
{
    const struct tm_model *model = writer->model;
    uint32_t *frames = calloc(model->stack_count, sizeof(*frames)); /* of this stack that somebody needs */
    writer->stacks = calloc(model->stack_count, sizeof(*writer->stacks));
    if (!frames || !writer->stacks) {
        free(frames);
        return tm_error_no_memory();
    }
    for (uint32_t i = model->stack_count; i-- > 1;) {
        uint32_t parent = model->stacks[i].parent;
        if (keeps_stack(writer, totals, i))
            frames[i] = model->frame_limit;
        if (frames[i] && frames[parent] < frames[i] - 1)
            frames[parent] = frames[i] - 1;
    }
    writer->stack_count = 1;
    for (uint32_t i = 1; i < model->stack_count; i++) {
        if (frames[i])
            writer->stacks[i] = writer->stack_count++;
    }
    free(frames);
    return NULL;
}

static struct tm_error *choose_names(struct tm_snapshot_writer *writer)
{
    const struct tm_model *model = writer->model;
    writer->locations = calloc(model->location_count, sizeof(*writer->locations));
    writer->strings = calloc(model->strings.count, sizeof(*writer->strings));
    if (!writer->locations || !writer->strings)
        return tm_error_no_memory();
    for (uint32_t i = 1; i < model->stack_count; i++) {
        if (writer->stacks[i])
            writer->locations[model->stacks[i].location] = 1;
    }
    writer->locations[0] = 1; /* what stands where nothing is known */
    writer->string_count = 1;
    for (uint32_t i = 0; i < model->location_count; i++) {
        if (!writer->locations[i])
            continue;
        writer->locations[i] = writer->location_count++;
        const uint32_t names[] = {model->locations[i].filename, model->locations[i].name};
        for (size_t j = 0; j < 2; j++) {
            if (names[j] && !writer->strings[names[j]])
                writer->strings[names[j]] = writer->string_count++;
        }
    }
    return NULL;
}

/* ---- tables --------------------------------------------------------------------------------------------------------- */

static struct tm_error *put_strings(struct tm_snapshot_writer *writer)
{
    const struct tm_model *model = writer->model;
    const struct tm_target *target = model->target;
    struct tm_string_ref program = {"", 0};
    if (target && target->program && !writer->options->redact)
        program = (struct tm_string_ref){target->program, (uint32_t)strlen(target->program)};
    struct tm_redactor redactor;
    tm_redactor_init(&redactor, writer->options->redact_key);
    /* The last one is the program. */
    struct tm_string_ref *strings = calloc(writer->string_count + 1, sizeof(*strings));
    uint32_t *lengths = calloc(writer->string_count + 1, sizeof(*lengths));
    uint64_t size = program.length;
    if (!strings || !lengths) {
        free(strings);
        free(lengths);
        return tm_error_no_memory();
    }
    for (uint32_t i = 1; i < model->strings.count; i++) {
        if (writer->strings[i]) {
            strings[writer->strings[i]] = model->strings.items[i];
            size += model->strings.items[i].length + TM_REDACTED_SIZE;
        }
    }
    strings[0] = (struct tm_string_ref){"", 0};
    strings[writer->string_count] = program;
    char *bytes = malloc(size + 1);
    uint64_t used = 0;
    for (uint32_t i = 0; bytes && i <= writer->string_count; i++) {
        lengths[i] = strings[i].length;
        if (writer->options->redact && tm_redact(&redactor, strings[i], bytes + used))
            lengths[i] = TM_REDACTED_SIZE;
        else if (strings[i].length)
            memcpy(bytes + used, strings[i].bytes, strings[i].length);
        used += lengths[i];
    }
    struct tm_error *error = bytes ? tm_snapshot_put(writer, TM_SNAPSHOT_STRING_LENGTHS, lengths, sizeof(*lengths),
                                                     (uint64_t)writer->string_count + 1)
                                   : tm_error_no_memory();
    if (!error)
        error = tm_snapshot_put(writer, TM_SNAPSHOT_STRING_BYTES, bytes, 1, used);
    free(strings);
    free(lengths);
    free(bytes);
    return error;
}

static struct tm_error *put_locations(struct tm_snapshot_writer *writer)
{
    const struct tm_model *model = writer->model;
    struct tm_model_location *locations = calloc(writer->location_count, sizeof(*locations));
    if (!locations)
        return tm_error_no_memory();
    for (uint32_t i = 0; i < model->location_count; i++) {
        if (writer->locations[i] || !i)
            locations[writer->locations[i]] = (struct tm_model_location){
                .filename = writer->strings[model->locations[i].filename],
                .name = writer->strings[model->locations[i].name],
                .lineno = model->locations[i].lineno,
            };
    }
    struct tm_error *error =
        tm_snapshot_put(writer, TM_SNAPSHOT_LOCATIONS, locations, sizeof(*locations), writer->location_count);
    free(locations);
    return error;
}

static struct tm_error *put_stacks(struct tm_snapshot_writer *writer, const struct tm_total *totals)
{
    const struct tm_model *model = writer->model;
    struct tm_stack_node *stacks = calloc(writer->stack_count, sizeof(*stacks));
    struct tm_total *kept = calloc(writer->stack_count, sizeof(*kept));
    struct tm_error *error = stacks && kept ? NULL : tm_error_no_memory();
    for (uint32_t i = 0; i < model->stack_count && !error; i++) {
        uint32_t number = writer->stacks[i];
        if (number) {
            stacks[number] = (struct tm_stack_node){
                .parent = writer->stacks[model->stacks[i].parent],
                .location = writer->locations[model->stacks[i].location],
                .depth = model->stacks[i].depth,
            };
        }
        if (number || !i)
            kept[number] = totals[i];
    }
    if (!error)
        error = tm_snapshot_put(writer, TM_SNAPSHOT_STACKS, stacks, sizeof(*stacks), writer->stack_count);
    if (!error)
        error = tm_snapshot_put(writer, TM_SNAPSHOT_TOTALS, kept, sizeof(*kept), writer->stack_count);
    free(stacks);
    free(kept);
    return error;
}

struct foreign {
    const struct tm_snapshot_writer *writer;
    struct tm_foreign_total *rows;
    size_t count;
    size_t room;
};

static struct tm_error *take_foreign(void *context, const struct tm_foreign_total *totals, size_t count)
{
    struct foreign *foreign = context;
    for (size_t i = 0; i < count; i++) {
        struct tm_foreign_total row = totals[i];
        if (!tm_selection_keeps(foreign->writer->options->selection, row.stack, row.domain))
            continue;
        row.stack = foreign->writer->stacks[row.stack];
        if (foreign->count == foreign->room) {
            size_t room = foreign->room ? foreign->room * 2 : 256;
            struct tm_foreign_total *rows = reallocarray(foreign->rows, room, sizeof(*rows));
            if (!rows)
                return tm_error_no_memory();
            foreign->rows = rows;
            foreign->room = room;
        }
        foreign->rows[foreign->count++] = row;
    }
    return NULL;
}

static int compare_foreign(const void *left, const void *right)
{
    const struct tm_foreign_total *a = left, *b = right;
    if (a->domain != b->domain)
        return a->domain < b->domain ? -1 : 1;
    return (a->stack > b->stack) - (a->stack < b->stack);
}

/* One row for each domain and stack. */
static struct tm_error *put_foreign(struct tm_snapshot_writer *writer)
{
    struct foreign foreign = {.writer = writer};
    struct tm_error *error = tm_model_each_foreign(writer->model, take_foreign, &foreign);
    size_t kept = 0;
    if (!error && foreign.count)
        qsort(foreign.rows, foreign.count, sizeof(*foreign.rows), compare_foreign);
    for (size_t i = 0; i < foreign.count; i++) {
        if (kept && !compare_foreign(&foreign.rows[kept - 1], &foreign.rows[i])) {
            struct tm_total *total = &foreign.rows[kept - 1].total;
            total->bytes = tm_sum(total->bytes, foreign.rows[i].total.bytes);
            total->blocks = tm_sum(total->blocks, foreign.rows[i].total.blocks);
        } else {
            foreign.rows[kept++] = foreign.rows[i];
        }
    }
    if (!error)
        error = tm_snapshot_put(writer, TM_SNAPSHOT_FOREIGN, foreign.rows, sizeof(*foreign.rows), kept);
    free(foreign.rows);
    return error;
}

/* ---- identity ------------------------------------------------------------------------------------------------------- */

static void fill_identity(const struct tm_snapshot_writer *writer, struct tm_snapshot_identity *identity)
{
    const struct tm_model *model = writer->model;
    const struct tm_target *target = model->target;
    const struct tm_selection *selection = writer->options->selection;
    const struct tm_snapshot_identity *before = tm_snapshot_identity(target); /* of a snapshot of a snapshot */
    bool redacted = writer->options->redact || (before && before->flags & TM_SNAPSHOT_REDACTED);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *identity = (struct tm_snapshot_identity){
        .python_version = model->python_version,
        .flags = (model->tracing ? TM_SNAPSHOT_TRACING : 0) | (model->has_names ? TM_SNAPSHOT_HAS_NAMES : 0) |
                 (model->has_totals ? TM_SNAPSHOT_HAS_TOTALS : 0) |
                 (writer->options->blocks ? TM_SNAPSHOT_HAS_BLOCKS : 0) | (redacted ? TM_SNAPSHOT_REDACTED : 0) |
                 (target && target->live ? TM_SNAPSHOT_LIVE : 0) |
                 (target && target->truncated ? TM_SNAPSHOT_TRUNCATED : 0),
        .pid = (uint32_t)model->pid,
        .frame_limit = model->frame_limit,
        .program = target && target->program && !writer->options->redact ? writer->string_count : 0,
        .signal = target ? (uint32_t)target->signal : 0,
        .started = model->started,
        .taken = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec,
        .table_bytes = model->table_bytes,
        .size = selection ? (uint64_t)selection->size : model->size,
        .count = selection ? (uint64_t)selection->count : model->count,
        .peak = model->peak,
        .lost = model->lost,
        .notes = model->incomplete_count,
    };
    snprintf(identity->tracer, sizeof(identity->tracer), "%s", model->tracer);
    snprintf(identity->tracer_version, sizeof(identity->tracer_version), "%s", model->tracer_version);
    snprintf(identity->python, sizeof(identity->python), "%s", model->python);
}

static struct tm_error *put_notes(struct tm_snapshot_writer *writer)
{
    const struct tm_model *model = writer->model;
    size_t size = 0, notes = tm_model_notes(model), used = 0;
    for (size_t i = 0; i < notes; i++)
        size += strlen(model->incomplete[i]) + 1;
    char *bytes = malloc(size + 1);
    if (!bytes)
        return tm_error_no_memory();
    for (size_t i = 0; i < notes; i++) {
        size_t length = strlen(model->incomplete[i]) + 1;
        memcpy(bytes + used, model->incomplete[i], length);
        used += length;
    }
    struct tm_error *error = tm_snapshot_put(writer, TM_SNAPSHOT_NOTES, bytes, 1, size);
    free(bytes);
    return error;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

static struct tm_error *put_all(struct tm_snapshot_writer *writer, uint64_t *blocks)
{
    const struct tm_selection *selection = writer->options->selection;
    const struct tm_total *totals = selection ? selection->totals : writer->model->totals;
    const struct tm_snapshot_header nothing = {0};
    struct tm_error *error = tm_new_file_write(&writer->file, &nothing, sizeof(nothing));
    if (!error)
        error = choose_stacks(writer, totals);
    if (!error)
        error = choose_names(writer);
    if (!error)
        error = put_strings(writer);
    if (!error)
        error = put_locations(writer);
    if (!error)
        error = put_stacks(writer, totals);
    if (!error)
        error = put_foreign(writer);
    if (!error && writer->options->blocks)
        error = tm_snapshot_put_blocks(writer, writer->model, selection, writer->stacks, blocks);
    /* Last: what the walks above found missing belongs to it. */
    struct tm_snapshot_identity identity;
    fill_identity(writer, &identity);
    if (!error)
        error = put_notes(writer);
    if (!error)
        error = tm_snapshot_put(writer, TM_SNAPSHOT_IDENTITY, &identity, sizeof(identity), 1);
    return error ? error : put_directory(writer);
}

struct tm_error *tm_snapshot_write(struct tm_model *model, const char *path, const struct tm_snapshot_options *options,
                                   struct tm_snapshot_written *ret)
{
    struct tm_snapshot_writer writer = {.model = model, .options = options, .file = {.fd = -1}};
    uint64_t blocks = 0;
    struct tm_error *error = tm_new_file_open(&writer.file, path, options->replace);
    if (!error) {
        writer.compressor = ZSTD_createCCtx();
        if (!writer.compressor || ZSTD_isError(ZSTD_CCtx_setParameter(writer.compressor, ZSTD_c_checksumFlag, 1)) ||
            ZSTD_isError(ZSTD_CCtx_setParameter(writer.compressor, ZSTD_c_compressionLevel, COMPRESSION_LEVEL)))
            error = tm_error_no_memory();
    }
    if (!error)
        error = put_all(&writer, &blocks);
    if (!error)
        error = tm_new_file_finish(&writer.file);
    if (!error)
        *ret = (struct tm_snapshot_written){writer.file.size, writer.stack_count - 1, blocks};
    tm_new_file_close(&writer.file);
    ZSTD_freeCCtx(writer.compressor);
    free(writer.buffer);
    free(writer.sections);
    free(writer.stacks);
    free(writer.locations);
    free(writer.strings);
    return error;
}
