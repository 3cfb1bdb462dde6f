/* SPDX-License-Identifier: MIT */
/* Which target is meant: the command line's SOURCE, or what a debugger face gives. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

struct tm_error *tm_target_open_source(const struct tm_face *face, const char *source, struct tm_target **ret)
{
    /* A file whose name is a number can be given as ./123. */
    if (*source && source[strspn(source, "0123456789")] == 0) {
        errno = 0;
        unsigned long pid = strtoul(source, NULL, 10);
        if (errno || pid == 0 || pid > INT_MAX)
            return tm_error_try(tm_error(TM_ERROR_GONE, "%s is not the number of a process", source),
                                "./%s, if it is a file", source);
        return tm_target_open_process(face, (pid_t)pid, ret);
    }
    bool is_snapshot;
    struct tm_error *error = tm_snapshot_sniff(source, &is_snapshot);
    if (error)
        return error;
    return is_snapshot ? tm_target_open_snapshot(face, source, ret) : tm_target_open_core(face, source, ret);
}

struct tm_error *tm_target_open_face(const struct tm_face *face, struct tm_target **ret)
{
    bool callbacks = face->read && face->regions;
    struct tm_error *error = NULL;
    if (face->core_file)
        error = tm_target_open_core(face, face->core_file, ret);
    else if (face->pid > 0)
        error = tm_target_open_process(face, face->pid, ret);
    else if (callbacks)
        return tm_target_open_callbacks(face, ret);
    else
        return tm_error_try(tm_error(TM_ERROR_MEMORY, "no process is running and no core is loaded"),
                            "core-file CORE, or attach PID");
    /* The debugger may read what the engine may not: a core that was deleted, a process of another user. */
    if (error && callbacks) {
        struct tm_error *second = tm_target_open_callbacks(face, ret);
        if (!second) {
            tm_error_destroy(error);
            return NULL;
        }
        tm_error_destroy(second);
    }
    return error;
}
