/* SPDX-License-Identifier: MIT */
/* gdb-init, lldb-init: the line that a debugger's init file wants.  Where the script is follows from where this program is. */
#define _GNU_SOURCE
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "request.h"

/* Seen from the folder of this program: installed below a prefix; in the source tree; all in one folder. */
static const char *const places[] = {"../share/tm/%s", "../../%s", "%s", "."};

static struct tm_error *find_script(const char *folder, const char *script, char *ret)
{
    char self[PATH_MAX], path[2 * PATH_MAX], place[64];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[length > 0 ? length : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && slash; i++) {
        snprintf(place, sizeof(place), places[i], folder);
        snprintf(path, sizeof(path), "%s/%s/%s", self, place, script);
        if (realpath(path, ret))
            return NULL;
    }
    struct tm_error *error = tm_error(TM_ERROR_SYSTEM, "cannot find %s", script);
    error = tm_error_because(error, "it should lie in ../share/tm/%s, seen from %s", folder, self);
    return tm_error_try(error, "make install PREFIX=..., in the sources of tm");
}

struct tm_error *tm_run_gdb_init(struct tm_request *request)
{
    char path[PATH_MAX] = "";
    struct tm_error *error = find_script("gdb", "tm_gdb.py", path);
    if (!error) /* GDB takes the rest of the line, blanks and all */
        tm_text_print(&request->output->text, "source %s\n", path);
    return error;
}

struct tm_error *tm_run_lldb_init(struct tm_request *request)
{
    char path[PATH_MAX] = "";
    struct tm_error *error = find_script("lldb", "tm_lldb.py", path);
    if (error)
        return error;
    struct tm_text *text = &request->output->text;
    tm_text_print(text, "command script import ");
    for (const char *c = path; *c; c++) /* LLDB splits at blanks, and knows quotes */
        tm_text_print(text, "%s%c", strchr(" \"'`\\", *c) ? "\\" : "", *c);
    tm_text_print(text, "\n");
    return NULL;
}
