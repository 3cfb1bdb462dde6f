/* SPDX-License-Identifier: MIT */
/* Whatever a face can read: remote targets, and cores that only the debugger understands. */
#include <stdlib.h>
#include <string.h>

#include "target.h"

/* LLDB is fastest at 1 to 8 MiB a read, GDB from 64 KiB on; in between, Ctrl-C is looked for. */
#define PIECE (UINT64_C(4) << 20)

struct callback {
    struct tm_target target;
    size_t region_room;
    char **paths;
    size_t path_count;
    struct tm_error *error; /* of add_region() */
};

static struct tm_fault callback_read(struct tm_target *target, uint64_t address, void *buffer, uint64_t size)
{
    const struct tm_face *face = target->face;
    uint64_t done = 0;
    while (done < size) {
        if (tm_target_interrupted(target))
            return (struct tm_fault){TM_READ_INTERRUPTED, address + done};
        uint64_t piece = size - done < PIECE ? size - done : PIECE;
        int64_t got = face->read(face->data, address + done, (uint8_t *)buffer + done, piece);
        if (got <= 0 || (uint64_t)got > piece) {
            const struct tm_region *region = tm_target_region(target, address + done);
            return (struct tm_fault){region ? TM_READ_NOT_SAVED : TM_READ_UNMAPPED, address + done};
        }
        done += got;
    }
    return (struct tm_fault){TM_READ_OK, address + size};
}

static void callback_destroy(struct tm_target *target)
{
    struct callback *callback = (struct callback *)target;
    for (size_t i = 0; i < callback->path_count; i++)
        free(callback->paths[i]);
    free(callback->paths);
    free(callback);
}

static const struct tm_target_ops callback_ops = {
    .read = callback_read,
    .destroy = callback_destroy,
};

static char *keep_path(struct callback *callback, const char *path)
{
    if (callback->path_count && !strcmp(callback->paths[callback->path_count - 1], path))
        return callback->paths[callback->path_count - 1];
    char **paths = reallocarray(callback->paths, callback->path_count + 1, sizeof(*paths));
    if (!paths)
        return NULL;
    callback->paths = paths;
    char *copy = strdup(path);
    if (copy)
        paths[callback->path_count++] = copy;
    return copy;
}

static void add_region(void *context, uint64_t start, uint64_t end, uint32_t flags, const char *path)
{
    struct callback *callback = context;
    if (callback->error || end <= start)
        return;
    const struct tm_region region = {
        .start = start,
        .end = end,
        .saved = end - start,
        .flags = flags,
        .missing = TM_READ_NOT_SAVED,
        .path = path && *path ? keep_path(callback, path) : NULL,
    };
    callback->error = tm_regions_add(&callback->target, &callback->region_room, &region);
}

struct tm_error *tm_target_open_callbacks(const struct tm_face *face, struct tm_target **ret)
{
    struct callback *callback = calloc(1, sizeof(*callback));
    if (!callback)
        return tm_error_no_memory();
    callback->target.ops = &callback_ops;
    callback->target.face = face;
    callback->target.name = strdup("this target");
    callback->target.live = !face->core_file;
    struct tm_error *error = NULL;
    if (!callback->target.name)
        error = tm_error_no_memory();
    else if (face->regions(face->data, add_region, callback) < 0 || !callback->target.region_count)
        error = tm_error_try(tm_error_because(tm_error(TM_ERROR_MEMORY, "the debugger lists no memory to look into"),
                                              "no process is running and no core is loaded"),
                             "core-file CORE, or attach PID");
    if (callback->error) {
        tm_error_destroy(error);
        error = callback->error;
    }
    if (error) {
        tm_target_destroy(&callback->target);
        return error;
    }
    tm_regions_finish(&callback->target);
    callback->target.program = tm_target_command_line(&callback->target);
    *ret = &callback->target;
    return NULL;
}
