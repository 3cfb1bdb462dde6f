/* SPDX-License-Identifier: MIT */
/* run: starts a command with the runtime in its environment.  Where it is follows from where this program is. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "request.h"

/* .../bin/tm -> .../lib */
static struct tm_error *find_libraries(char *folder, size_t room)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length > 0) {
        self[length] = 0;
        for (int up = 0; up < 2; up++) {
            char *slash = strrchr(self, '/');
            if (slash)
                *slash = 0;
        }
        if ((size_t)snprintf(folder, room, "%s/lib", self) < room) {
            char preload[PATH_MAX + 32];
            snprintf(preload, sizeof(preload), "%s/libtm-preload.so", folder);
            if (access(preload, R_OK) == 0)
                return NULL;
        }
    }
    return tm_error_try(tm_error_because(tm_error(TM_ERROR_SYSTEM, "cannot find libtm-preload.so"),
                                         "it should lie in %s; the runtime was not built or not installed",
                                         length > 0 ? folder : "the folder lib beside this program's"),
                        "make PYTHONS=python3");
}

/* Puts a path before or behind what a list of paths has already. */
static struct tm_error *join(const char *variable, const char *before, const char *behind)
{
    const char *old = getenv(variable);
    char *value;
    int length;
    if (old && *old)
        length = asprintf(&value, "%s%s%s%s%s", before ? before : "", before ? ":" : "", old, behind ? ":" : "",
                          behind ? behind : "");
    else
        length = asprintf(&value, "%s", before ? before : behind);
    if (length < 0)
        return tm_error_no_memory();
    int failed = setenv(variable, value, 1);
    free(value);
    return failed ? tm_error_no_memory() : NULL;
}

struct tm_error *tm_run_run(struct tm_request *request)
{
    char folder[PATH_MAX], preload[PATH_MAX + 32], packages[PATH_MAX + 32], number[24];
    uint64_t frames = request->frames ? request->frames : 1;
    if (!request->rest_count)
        return tm_error_try(tm_error(TM_ERROR_USAGE, "tm run needs a command"), "tm run -- python3 app.py");
    if (frames > UINT16_MAX)
        return tm_error_try(tm_error(TM_ERROR_USAGE, "--frames must be at most %d, not %" PRIu64, UINT16_MAX, frames),
                            "tm run -n 25 -- %s", request->rest[0]);
    struct tm_error *error = find_libraries(folder, sizeof(folder));
    if (error)
        return error;
    snprintf(preload, sizeof(preload), "%s/libtm-preload.so", folder);
    snprintf(packages, sizeof(packages), "%s/python", folder);
    snprintf(number, sizeof(number), "%" PRIu64, frames);
    if (strpbrk(preload, ": "))
        return tm_error_because(tm_error(TM_ERROR_SYSTEM, "tm cannot run from %s", folder),
                                "LD_PRELOAD cannot hold a path with a space or a colon");
    error = join("LD_PRELOAD", preload, NULL);
    if (!error)
        error = join("PYTHONPATH", NULL, packages);
    if (error)
        return error;
    setenv("PYTHONTM", number, 1);
    snprintf(number, sizeof(number), "%d", (int)getpid());
    setenv("TM_RUN_PID", number, 1);
    execvp(request->rest[0], request->rest);
    int code = errno;
    request->exit_status = code == ENOENT ? 127 : 126; /* as the shell: not found, not executable */
    return tm_error_because(tm_error(TM_ERROR_SYSTEM, "cannot run %s", request->rest[0]), "%s", strerror(code));
}
