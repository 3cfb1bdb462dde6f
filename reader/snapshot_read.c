/* SPDX-License-Identifier: MIT */
/*
 * A snapshot file into a model.  Nothing in it is believed: every byte is compared with what it must be or means something
 * that is under a checksum, every number is checked before it is used, and nothing is decompressed that would be absurdly large.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "snapshot.h"

/* What a section may be decompressed to: more than this, and more than a thousand times what it takes in the file, no real
 * snapshot has. */
#define ALWAYS_ALLOWED (UINT64_C(16) << 20)
#define MAX_RATIO 1000

struct tm_error *tm_snapshot_damaged(const struct tm_snapshot_file *file, const char *because, ...)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    if (stream) {
        va_list arguments;
        va_start(arguments, because);
        vfprintf(stream, because, arguments);
        va_end(arguments);
        fclose(stream);
    }
    struct tm_error *error = tm_error(TM_ERROR_DAMAGED, "the snapshot %s is damaged", file->target.name);
    error = tm_error_because(error, "%s", text ? text : because);
    free(text);
    return tm_error_try(error, "tm dump SOURCE FILE, to make it again");
}

/* ---- frames --------------------------------------------------------------------------------------------------------- */

static struct tm_error *decompress(const struct tm_snapshot_file *file, uint64_t offset, uint64_t stored,
                                   uint64_t expected, void **ret)
{
    const uint8_t *bytes = file->image + offset;
    if (expected > ALWAYS_ALLOWED && expected / MAX_RATIO > stored)
        return tm_snapshot_damaged(file, "it claims more than it can hold");
    if (ZSTD_getFrameContentSize(bytes, stored) != expected)
        return tm_snapshot_damaged(file, "a part at %" PRIu64 " is not of the size that it should have", offset);
    void *content = malloc(expected + 1);
    if (!content)
        return tm_error_no_memory();
    size_t done = ZSTD_decompress(content, expected, bytes, stored);
    if (ZSTD_isError(done) || done != expected) {
        free(content);
        return tm_snapshot_damaged(file, "a part at %" PRIu64 " cannot be decompressed: %s", offset,
                                   ZSTD_isError(done) ? ZSTD_getErrorName(done) : "it ends too early");
    }
    *ret = content;
    return NULL;
}

struct tm_error *tm_snapshot_load(const struct tm_snapshot_file *file, const struct tm_snapshot_section *section,
                                  uint32_t element_size, void **ret)
{
    uint64_t size;
    uint8_t *content;
    if (section->element_size < element_size || section->element_size > 65536 || section->count > UINT32_MAX ||
        __builtin_mul_overflow(section->count, section->element_size, &size))
        return tm_snapshot_damaged(file, "the size of a part makes no sense");
    struct tm_error *error = decompress(file, section->offset, section->stored, size, (void **)&content);
    if (error)
        return error;
    if (section->element_size > element_size) {
        for (uint64_t i = 1; i < section->count; i++)
            memmove(content + i * element_size, content + i * section->element_size, element_size);
    }
    *ret = content;
    return NULL;
}

/* The one section of a kind. */
static struct tm_error *load_only(const struct tm_snapshot_file *file, enum tm_snapshot_kind kind,
                                  uint32_t element_size, void **ret, uint64_t *count)
{
    const struct tm_snapshot_section *found = NULL;
    for (uint64_t i = 0; i < file->section_count; i++) {
        if (file->sections[i].kind != kind)
            continue;
        if (found)
            return tm_snapshot_damaged(file, "a part is there twice");
        found = &file->sections[i];
    }
    if (!found)
        return tm_snapshot_damaged(file, "a part is missing");
    *count = found->count;
    return tm_snapshot_load(file, found, element_size, ret);
}

/* ---- opening -------------------------------------------------------------------------------------------------------- */

static struct tm_error *check_header(const struct tm_snapshot_file *file, struct tm_snapshot_header *header)
{
    if (file->size < TM_SNAPSHOT_MAGIC_SIZE + sizeof(uint32_t))
        return tm_snapshot_damaged(file, "it is truncated");
    memset(header, 0, sizeof(*header));
    memcpy(header, file->image, file->size < sizeof(*header) ? file->size : sizeof(*header));
    if (header->version > TM_SNAPSHOT_VERSION)
        return tm_error_try(tm_error_because(tm_error(TM_ERROR_VERSION, "the snapshot %s has version %" PRIu32,
                                                      file->target.name, header->version),
                                             "this tm knows versions up to %d", TM_SNAPSHOT_VERSION),
                            "a newer tm");
    if (file->size < sizeof(*header) || file->size < header->file_size)
        return tm_snapshot_damaged(file, "it is truncated");
    if (header->version < 1 || header->header_size != sizeof(*header) || header->reserved ||
        file->size != header->file_size || header->directory_offset < sizeof(*header) ||
        header->directory_offset > file->size || header->directory_stored != file->size - header->directory_offset ||
        header->section_count > file->size)
        return tm_snapshot_damaged(file, "its header makes no sense");
    return NULL;
}

/* Back to back, so that no byte of the file is outside of all checksums. */
static struct tm_error *check_sections(const struct tm_snapshot_file *file, const struct tm_snapshot_header *header)
{
    uint64_t at = header->header_size;
    for (uint64_t i = 0; i < file->section_count && file->sections; i++) {
        const struct tm_snapshot_section *section = &file->sections[i];
        if (section->offset != at || section->stored > header->directory_offset - at)
            return tm_snapshot_damaged(file, "its directory makes no sense");
        at += section->stored;
    }
    return at == header->directory_offset ? NULL : tm_snapshot_damaged(file, "its directory makes no sense");
}

static struct tm_error *map_file(struct tm_snapshot_file *file, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        int code = errno;
        if (fd >= 0)
            close(fd);
        return tm_error_because(tm_error(TM_ERROR_SYSTEM, "cannot open %s", path), "%s", strerror(code));
    }
    void *image = MAP_FAILED;
    if (S_ISREG(status.st_mode) && status.st_size > 0)
        image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (image == MAP_FAILED)
        return tm_error(TM_ERROR_SYSTEM, "cannot map %s", path);
    file->image = image;
    file->size = (uint64_t)status.st_size;
    return NULL;
}

static struct tm_fault no_memory_here(struct tm_target *target, uint64_t address, void *buffer, uint64_t size)
{
    (void)target;
    (void)buffer;
    (void)size;
    return (struct tm_fault){TM_READ_NOT_SAVED, address};
}

static void destroy_file(struct tm_target *target)
{
    struct tm_snapshot_file *file = (struct tm_snapshot_file *)target;
    if (file->image)
        munmap((void *)file->image, file->size);
    free(file->sections);
    free(file);
}

static const struct tm_target_ops snapshot_ops = {.read = no_memory_here, .destroy = destroy_file};

bool tm_target_is_snapshot(const struct tm_target *target)
{
    return target->ops == &snapshot_ops;
}

const struct tm_snapshot_identity *tm_snapshot_identity(const struct tm_target *target)
{
    return target && tm_target_is_snapshot(target) ? &((const struct tm_snapshot_file *)target)->identity : NULL;
}

struct tm_error *tm_target_open_snapshot(const struct tm_face *face, const char *path, struct tm_target **ret)
{
    struct tm_snapshot_file *file = calloc(1, sizeof(*file));
    if (!file)
        return tm_error_no_memory();
    file->target.ops = &snapshot_ops;
    file->target.face = face;
    file->target.name = strdup(path);
    struct tm_snapshot_header header = {0};
    struct tm_error *error = file->target.name ? map_file(file, path) : tm_error_no_memory();
    if (!error)
        error = check_header(file, &header);
    if (!error)
        error = decompress(file, header.directory_offset, header.directory_stored,
                           header.section_count * sizeof(*file->sections), (void **)&file->sections);
    if (!error) {
        file->section_count = header.section_count;
        error = check_sections(file, &header);
    }
    struct tm_snapshot_identity *identity = NULL;
    uint64_t count = 0;
    if (!error)
        error = load_only(file, TM_SNAPSHOT_IDENTITY, sizeof(*identity), (void **)&identity, &count);
    if (!error && count != 1)
        error = tm_snapshot_damaged(file, "it does not say what it is");
    if (!error) {
        file->identity = *identity;
        file->target.pid = identity->pid <= INT32_MAX ? (pid_t)identity->pid : 0;
        file->target.signal = identity->signal <= 64 ? (int)identity->signal : 0;
        file->target.truncated = identity->flags & TM_SNAPSHOT_TRUNCATED;
        *ret = &file->target;
    }
    free(identity);
    if (error)
        tm_target_destroy(&file->target);
    return error;
}

struct tm_error *tm_snapshot_sniff(const char *path, bool *is)
{
    uint8_t start[TM_SNAPSHOT_MAGIC_SIZE] = {0};
    *is = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL; /* whoever opens it next says why */
    struct stat status;
    bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    ssize_t size = regular ? read(fd, start, sizeof(start)) : 0;
    close(fd);
    *is = size == sizeof(start) && !memcmp(start, TM_SNAPSHOT_MAGIC, sizeof(start));
    if (*is)
        return NULL;
    if (size >= 8 && !memcmp(start, TM_SNAPSHOT_MAGIC, 8))
        return tm_error_because(tm_error(TM_ERROR_DAMAGED, "the snapshot %s is damaged", path),
                                "it is truncated, or was copied as text");
    if (size >= 2 && start[0] == 0x80 && start[1] >= 2 && start[1] <= 5)
        return tm_error_try(
            tm_error_because(
                tm_error(TM_ERROR_NOT_A_CORE, "%s is a pickle", path),
                "reading one runs code, so nothing but Python does; tracemalloc.Snapshot.dump() writes such "
                "files"),
            "tm dump SOURCE FILE, for a snapshot that can be read here");
    return NULL;
}

/* ---- decoding ------------------------------------------------------------------------------------------------------- */

struct contents {
    uint32_t *lengths;
    uint64_t string_count;
    char *bytes;
    uint64_t byte_count;
    struct tm_model_location *locations;
    uint64_t location_count;
    struct tm_stack_node *stacks;
    uint64_t stack_count;
    struct tm_total *totals;
    uint64_t total_count;
    struct tm_foreign_total *foreign;
    uint64_t foreign_count;
    char *notes;
    uint64_t note_bytes;
};

static struct tm_error *load_contents(const struct tm_snapshot_file *file, struct contents *contents)
{
    const struct {
        enum tm_snapshot_kind kind;
        uint32_t element_size;
        void **elements;
        uint64_t *count;
    } parts[] = {
        {TM_SNAPSHOT_STRING_LENGTHS, sizeof(*contents->lengths), (void **)&contents->lengths, &contents->string_count},
        {TM_SNAPSHOT_STRING_BYTES, 1, (void **)&contents->bytes, &contents->byte_count},
        {TM_SNAPSHOT_LOCATIONS, sizeof(*contents->locations), (void **)&contents->locations, &contents->location_count},
        {TM_SNAPSHOT_STACKS, sizeof(*contents->stacks), (void **)&contents->stacks, &contents->stack_count},
        {TM_SNAPSHOT_TOTALS, sizeof(*contents->totals), (void **)&contents->totals, &contents->total_count},
        {TM_SNAPSHOT_FOREIGN, sizeof(*contents->foreign), (void **)&contents->foreign, &contents->foreign_count},
        {TM_SNAPSHOT_NOTES, 1, (void **)&contents->notes, &contents->note_bytes},
    };
    struct tm_error *error = NULL;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !error; i++)
        error = load_only(file, parts[i].kind, parts[i].element_size, parts[i].elements, parts[i].count);
    return error;
}

static void free_contents(struct contents *contents)
{
    free(contents->lengths);
    free(contents->bytes);
    free(contents->locations);
    free(contents->stacks);
    free(contents->totals);
    free(contents->foreign);
    free(contents->notes);
}

static struct tm_error *add_names(struct tm_model *model, const struct contents *contents)
{
    struct tm_snapshot_file *file = (struct tm_snapshot_file *)model->target;
    uint32_t *strings = calloc(contents->string_count + 1, sizeof(*strings));
    struct tm_error *error = strings ? NULL : tm_error_no_memory();
    uint64_t used = 0;
    for (uint64_t i = 0; i < contents->string_count && !error; i++) {
        if (contents->lengths[i] > contents->byte_count - used)
            error = tm_snapshot_damaged(file, "a name is longer than all names");
        else
            error = tm_model_string(model, contents->bytes + used, contents->lengths[i], false, &strings[i]);
        used += contents->lengths[i];
    }
    uint32_t program = file->identity.program;
    if (!error && (used != contents->byte_count || !contents->string_count || contents->lengths[0] ||
                   program >= contents->string_count))
        error = tm_snapshot_damaged(file, "its names are not as long as they should be");
    for (uint64_t i = 0; i < contents->location_count && !error; i++) {
        struct tm_model_location location = contents->locations[i];
        uint32_t number;
        if (location.filename >= contents->string_count || location.name >= contents->string_count) {
            error = tm_snapshot_damaged(file, "a location has a name that does not exist");
            break;
        }
        location.filename = strings[location.filename];
        location.name = strings[location.name];
        if (!i)
            model->locations[0] = location;
        else
            error = tm_model_add_location(model, location, &number);
    }
    if (!error && program && !file->target.program) {
        struct tm_string_ref text = tm_model_text(model, strings[program]);
        file->target.program = strndup(text.bytes, text.length);
    }
    free(strings);
    return error;
}

static struct tm_error *add_stacks(struct tm_model *model, struct contents *contents)
{
    const struct tm_snapshot_file *file = (const struct tm_snapshot_file *)model->target;
    if (!contents->location_count || !contents->stack_count || contents->stack_count != contents->total_count)
        return tm_snapshot_damaged(file, "its tables do not fit together");
    for (uint64_t i = 0; i < contents->stack_count; i++) {
        const struct tm_stack_node *stack = &contents->stacks[i];
        if ((i ? stack->parent >= i : stack->parent > 0) || stack->location >= contents->location_count)
            return tm_snapshot_damaged(file, "a stack stands on one that does not exist");
    }
    if (contents->stacks[0].location)
        return tm_snapshot_damaged(file, "a stack stands on one that does not exist");
    for (uint64_t i = 0; i < contents->foreign_count; i++) {
        if (contents->foreign[i].stack >= contents->stack_count || !contents->foreign[i].domain)
            return tm_snapshot_damaged(file, "a domain has a stack that does not exist");
    }
    free(model->stacks);
    free(model->totals);
    model->stacks = contents->stacks;
    model->totals = contents->totals;
    model->stack_count = model->stack_room = (uint32_t)contents->stack_count;
    contents->stacks = NULL;
    contents->totals = NULL;
    return NULL;
}

static void add_notes(struct tm_model *model, const struct contents *contents)
{
    const struct tm_snapshot_file *file = (const struct tm_snapshot_file *)model->target;
    for (uint64_t at = 0; at < contents->note_bytes;) {
        uint64_t length = strnlen(contents->notes + at, contents->note_bytes - at);
        tm_model_incomplete(model, "%.*s", (int)(length < 4096 ? length : 4096), contents->notes + at);
        at += length + 1;
    }
    if (!model->incomplete_count && file->identity.notes)
        tm_model_incomplete(model, "why is not in the snapshot");
    if (model->incomplete_count < file->identity.notes && file->identity.notes <= SIZE_MAX)
        model->incomplete_count = (size_t)file->identity.notes;
}

/* It goes into sentences: nothing but a version's characters. */
static void copy_text(char *to, size_t room, const char *from, size_t size)
{
    size_t length = strnlen(from, size < room - 1 ? size : room - 1);
    for (size_t i = 0; i < length; i++)
        to[i] = from[i] > ' ' && from[i] < 0x7f && from[i] != '"' && from[i] != '\\' ? from[i] : '?';
    to[length] = 0;
}

static struct tm_error *decode(struct tm_model *model, struct contents *contents)
{
    const struct tm_snapshot_file *file = (const struct tm_snapshot_file *)model->target;
    const struct tm_snapshot_identity *identity = &file->identity;
    model->tracer = !strncmp(identity->tracer, "tracemalloc", sizeof(identity->tracer)) ? "tracemalloc" : "tm";
    copy_text(model->tracer_version, sizeof(model->tracer_version), identity->tracer_version,
              sizeof(identity->tracer_version));
    copy_text(model->python, sizeof(model->python), identity->python, sizeof(identity->python));
    model->python_version = identity->python_version;
    model->pid = file->target.pid;
    model->tracing = identity->flags & TM_SNAPSHOT_TRACING;
    model->has_names = identity->flags & TM_SNAPSHOT_HAS_NAMES;
    model->has_totals = identity->flags & TM_SNAPSHOT_HAS_TOTALS;
    model->frame_limit = identity->frame_limit ? identity->frame_limit : 1;
    model->started = identity->started;
    model->table_bytes = identity->table_bytes;
    model->size = identity->size;
    model->count = identity->count;
    model->peak = identity->peak;
    model->lost = identity->lost;
    struct tm_error *error = load_contents(file, contents);
    if (!error)
        error = add_names(model, contents);
    if (!error)
        error = add_stacks(model, contents);
    if (!error)
        add_notes(model, contents);
    return error;
}

static struct tm_error *each_foreign(struct tm_model *model, tm_foreign_fn fn, void *context)
{
    const struct contents *contents = model->private;
    return contents->foreign_count ? fn(context, contents->foreign, contents->foreign_count) : NULL;
}

static void destroy_model(struct tm_model *model)
{
    struct contents *contents = model->private;
    if (contents)
        free_contents(contents);
    free(contents);
}

static const struct tm_model_ops model_ops = {
    .each_block = tm_snapshot_each_block,
    .each_foreign = each_foreign,
    .destroy = destroy_model,
};

static struct tm_error *open_model(struct tm_target *target, struct tm_model **ret)
{
    struct tm_model *model;
    if (!tm_target_is_snapshot(target))
        return NULL;
    struct tm_error *error = tm_model_create(&model_ops, target, &model);
    if (error)
        return error;
    model->private = calloc(1, sizeof(struct contents));
    error = model->private ? decode(model, model->private) : tm_error_no_memory();
    if (error)
        tm_model_destroy(model);
    else
        *ret = model;
    return error;
}

const struct tm_decoder tm_snapshot_decoder = {
    .name = "snapshot",
    .open = open_model,
};
