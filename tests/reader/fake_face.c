/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include "fake.h"

static int32_t keep(void *data, int32_t stream, const char *bytes, uint64_t size)
{
    struct fake_face *face = data;
    char *into = stream == TM_STREAM_OUT ? face->out : face->err;
    size_t *used = stream == TM_STREAM_OUT ? &face->out_size : &face->err_size;
    size_t room = (stream == TM_STREAM_OUT ? sizeof(face->out) : sizeof(face->err)) - 1 - *used;
    memcpy(into + *used, bytes, size < room ? size : room);
    *used += size < room ? size : room;
    into[*used] = 0;
    return 0;
}

static int64_t read_memory(void *data, uint64_t address, void *buffer, uint64_t size)
{
    struct fake_face *face = data;
    uint64_t done = 0;
    face->reads++;
    for (size_t i = 0; i < face->core->count && done < size; i++) {
        const struct fake_segment *segment = &face->core->segments[i];
        uint64_t offset = address + done - segment->address;
        if (address + done < segment->address || offset >= segment->memory)
            continue;
        uint64_t piece = segment->memory - offset < size - done ? segment->memory - offset : size - done;
        memset((char *)buffer + done, 0, piece);
        if (offset < segment->file)
            memcpy((char *)buffer + done, (const char *)segment->bytes + offset,
                   segment->file - offset < piece ? segment->file - offset : piece);
        done += piece;
    }
    return done ? (int64_t)done : -1;
}

static int32_t list_regions(void *data, tm_add_region_fn add, void *context)
{
    struct fake_face *face = data;
    for (size_t i = 0; i < face->core->count; i++) {
        const struct fake_segment *segment = &face->core->segments[i];
        add(context, segment->address, segment->address + segment->memory, segment->flags, segment->path);
    }
    return 0;
}

void fake_face_init(struct fake_face *face)
{
    memset(face, 0, sizeof(*face));
    face->face = (struct tm_face){.size = sizeof(face->face), .data = face, .write = keep};
}

void fake_face_callbacks(struct fake_face *face, struct fake_core *core)
{
    fake_face_init(face);
    face->core = core;
    face->face.read = read_memory;
    face->face.regions = list_regions;
}

int fake_run(struct fake_face *face, const char *command)
{
    char words[1024], *next = words;
    const char *argv[32];
    int argc = 0;
    snprintf(words, sizeof(words), "%s", command);
    while (argc < 32 && (argv[argc] = strsep(&next, " ")))
        argc++;
    face->out_size = face->err_size = 0;
    face->out[0] = face->err[0] = 0;
    return tm_command(&face->face, argc, argv);
}
