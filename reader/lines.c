/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* asprintf */
#include "lines.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

#define MAX_FILE (32 << 20)

struct source {
    bool tried;
    char *bytes;
    size_t size;
    uint32_t *starts; /* of lines */
    uint32_t line_count;
};

struct tm_lines {
    const struct tm_model *model;
    struct source *sources; /* by string */
    uint32_t count;
};

struct tm_lines *tm_lines_create(const struct tm_model *model)
{
    struct tm_lines *lines = calloc(1, sizeof(*lines));
    if (!lines)
        return NULL;
    lines->model = model;
    lines->count = model->strings.count;
    lines->sources = calloc(lines->count, sizeof(*lines->sources));
    if (!lines->sources) {
        free(lines);
        return NULL;
    }
    return lines;
}

void tm_lines_destroy(struct tm_lines *lines)
{
    if (!lines)
        return;
    for (uint32_t i = 0; i < lines->count; i++) {
        free(lines->sources[i].bytes);
        free(lines->sources[i].starts);
    }
    free(lines->sources);
    free(lines);
}

/* The name as the file system has it: undecodable bytes are lone surrogates in Python (surrogateescape). */
static bool to_path(struct tm_string_ref name, char *path, size_t room)
{
    size_t used, length = 0;
    for (size_t i = 0; i < name.length; i += used) {
        int32_t point = tm_utf8_next(name.bytes + i, name.length - i, &used);
        if (!point || length + used >= room)
            return false;
        if (point >= 0xdc80 && point < 0xdd00) {
            path[length++] = (char)(point - 0xdc00);
        } else {
            memcpy(path + length, name.bytes + i, used);
            length += used;
        }
    }
    path[length] = 0;
    return length > 0;
}

/* A live target's own file if it has one (another container, another directory), otherwise the one of this name here. */
static int open_source(const struct tm_target *target, const char *path)
{
    const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    if (target && target->source_root) {
        char *theirs = NULL;
        int length = path[0] == '/' ? asprintf(&theirs, "%s%s", target->source_root, path)
                                    : asprintf(&theirs, "/proc/%d/cwd/%s", (int)target->pid, path);
        int fd = length < 0 ? -1 : open(theirs, flags);
        if (length >= 0)
            free(theirs);
        if (fd >= 0)
            return fd;
    }
    return open(path, flags);
}

static void load(struct tm_lines *lines, uint32_t filename, struct source *source)
{
    char path[4096];
    struct tm_string_ref name = tm_model_text(lines->model, filename);
    source->tried = true;
    if (!name.length || name.bytes[0] == '<' || !to_path(name, path, sizeof(path)))
        return;
    int fd = open_source(lines->model->target, path);
    if (fd < 0)
        return;
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 && status.st_size <= MAX_FILE) {
        source->bytes = malloc(status.st_size);
        ssize_t size = source->bytes ? read(fd, source->bytes, status.st_size) : 0;
        source->size = size > 0 ? size : 0;
    }
    close(fd);
}

static void index_lines(struct source *source)
{
    uint32_t room = 0;
    for (size_t start = 0; start < source->size;) {
        if (source->line_count == room) {
            room = room ? room * 2 : 512;
            uint32_t *starts = reallocarray(source->starts, room, sizeof(*starts));
            if (!starts)
                return;
            source->starts = starts;
        }
        source->starts[source->line_count++] = start;
        const char *end = memchr(source->bytes + start, '\n', source->size - start);
        start = end ? (size_t)(end - source->bytes) + 1 : source->size;
    }
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct tm_string_ref tm_lines_get(struct tm_lines *lines, uint32_t filename, uint32_t lineno)
{
    struct tm_string_ref none = {"", 0};
    if (!lines || filename >= lines->count || !lineno)
        return none;
    struct source *source = &lines->sources[filename];
    if (!source->tried) {
        load(lines, filename, source);
        index_lines(source);
    }
    if (lineno > source->line_count)
        return none;
    size_t start = source->starts[lineno - 1];
    size_t end = lineno < source->line_count ? source->starts[lineno] : source->size;
    while (start < end && is_space(source->bytes[start]))
        start++;
    while (start < end && is_space(source->bytes[end - 1]))
        end--;
    /* A minified file has lines that nobody wants to see whole. */
    return (struct tm_string_ref){source->bytes + start, (uint32_t)(end - start < 1000 ? end - start : 1000)};
}
