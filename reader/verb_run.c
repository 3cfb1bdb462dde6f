/* SPDX-License-Identifier: MIT */
/* run: starts a command with the runtime in its environment.  Where it is follows from where this program is. */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* ---- where evidence goes, and when: the environment that runtime/table_file.c and runtime/limit.c read ------------ */

const char *const tm_on_limit_names[] = {"dump", "core", "abort", NULL};

static struct tm_error *put(const char *variable, const char *value)
{
    return setenv(variable, value, 1) ? tm_error_no_memory() : NULL;
}

/* Absolute, so that it is where the user said, wherever the program goes (daemons go to /).  Its folder must take files. */
static struct tm_error *put_path(const char *variable, const char *option, const char *path)
{
    char full[PATH_MAX], folder[PATH_MAX] = "";
    if (!*path || (path[0] != '/' && !getcwd(folder, sizeof(folder))) ||
        (size_t)snprintf(full, sizeof(full), "%s%s%s", folder, folder[0] ? "/" : "", path) >= sizeof(full))
        return tm_error(TM_ERROR_USAGE, "%s needs a path, not '%.100s'", option, path);
    snprintf(folder, sizeof(folder), "%s", full);
    *strrchr(folder, '/') = 0;
    if (access(folder[0] ? folder : "/", W_OK | X_OK) != 0)
        return tm_error_because(tm_error(TM_ERROR_SYSTEM, "%s %s cannot be written", option, path), "%s: %s",
                                folder[0] ? folder : "/", strerror(errno));
    struct stat status;
    if (!strchr(path, '%') && lstat(full, &status) == 0)
        return tm_error_try(tm_error_because(tm_error(TM_ERROR_SYSTEM, "%s %s exists already", option, path),
                                             "evidence is never overwritten"),
                            "%s %s.%%p, where %%p becomes the pid", option, path);
    return put(variable, full);
}

static struct tm_error *put_every(const char *word)
{
    char *end, number[24];
    errno = 0;
    unsigned long percent = strtoul(word, &end, 10);
    if (*end == '%')
        end++;
    if (!isdigit((unsigned char)word[0]) || *end || errno || !percent || percent > 1000)
        return tm_error_try(
            tm_error(TM_ERROR_USAGE, "--every must be per cent of the limit, 1 to 1000, not '%s'", word),
            "--every 10%%");
    snprintf(number, sizeof(number), "%lu", percent);
    return put("PYTHONTM_EVERY", number);
}

static struct tm_error *put_evidence(const struct tm_request *request)
{
    char number[24];
    const char *only = request->on_limit    ? "--on-limit"
                       : request->every     ? "--every"
                       : request->dump_file ? "--dump-file"
                                            : NULL;
    bool dumps = !strcmp(tm_on_limit_names[request->on_limit], "dump");
    if (only && !request->byte_limit)
        return tm_error_try(tm_error(TM_ERROR_USAGE, "%s needs a --limit of at least one byte", only),
                            "tm run --limit 2G %s ...", only);
    if (request->dump_file && !dumps)
        return tm_error_because(tm_error(TM_ERROR_USAGE, "--dump-file does not go with --on-limit %s",
                                         tm_on_limit_names[request->on_limit]),
                                "the kernel writes cores where /proc/sys/kernel/core_pattern says");
    if (request->every && !strcmp(tm_on_limit_names[request->on_limit], "abort"))
        return tm_error(TM_ERROR_USAGE, "--every does not go with --on-limit abort");
    if (request->every && request->dump_file && !strstr(request->dump_file, "%n"))
        return tm_error_try(tm_error(TM_ERROR_USAGE, "--every makes several dumps: their names need a number"),
                            "--dump-file %s.%%n", request->dump_file);
    struct tm_error *error = request->table_file ? put_path("PYTHONTM_FILE", "--file", request->table_file) : NULL;
    if (error || !request->byte_limit)
        return error;
    snprintf(number, sizeof(number), "%" PRIu64, request->byte_limit);
    error = put("PYTHONTM_LIMIT", number);
    if (!error)
        error = put("PYTHONTM_ON_LIMIT", tm_on_limit_names[request->on_limit]);
    if (!error && request->every)
        error = put_every(request->every);
    if (!error && dumps)
        error = put_path("PYTHONTM_DUMP", "--dump-file", request->dump_file ? request->dump_file : "tm-%p-%n.table");
    return error;
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
    if (!error)
        error = put_evidence(request);
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
