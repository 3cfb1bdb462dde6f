/* SPDX-License-Identifier: MIT */
/* Start before the interpreter: called from preload.c's constructor. */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "frames.h"
#include "runtime.h"

static int wanted_frames;

/* First audit event of an interpreter's life: cpython.PyInterpreterState_New.  By then CPython has chosen its allocators. */
static int install_after_preinit(const char *event, PyObject *arguments, void *data)
{
    (void)event;
    (void)arguments;
    (void)data;
    if (wanted_frames) {
        int frames = wanted_frames;
        wanted_frames = 0;
        tm_start((uint32_t)frames);
    }
    return 0;
}

/* What CPython will do to its allocators while it pre-initializes, over hooks that are there already
 * (Python/preconfig.c, _PyMem_SetupAllocators). */
enum reset {
    RESET_NONE,
    RESET_PLAIN,
    RESET_DEBUG,
};

/* Is there a `-X dev` before the program's own arguments?  Options as in Python/getopt.c. */
static bool has_dev_option(const char *argument, const char *end)
{
    for (argument += strlen(argument) + 1; argument < end; argument += strlen(argument) + 1) {
        if (argument[0] != '-' || !argument[1] || !strcmp(argument, "--"))
            return false;
        if (argument[1] == '-') /* --check-hash-based-pycs takes a value */
            continue;
        for (const char *option = argument + 1; *option; option++) {
            if (*option == 'c' || *option == 'm')
                return false;
            if (*option != 'X' && *option != 'W')
                continue;
            const char *value = option[1] ? option + 1 : argument + strlen(argument) + 1;
            if (*option == 'X' && value < end && !strcmp(value, "dev"))
                return true;
            argument = option[1] ? argument : value;
            break;
        }
        if (argument >= end)
            break;
    }
    return false;
}

static bool dev_mode_asked_for(void)
{
    static char arguments[65536];
    const char *variable = getenv("PYTHONDEVMODE");
    if (variable && *variable)
        return true;
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, arguments, sizeof(arguments) - 1);
    if (file >= 0)
        close(file);
    return length > 0 && has_dev_option(arguments, arguments + length);
}

static enum reset expected_reset(void)
{
    const char *name = getenv("PYTHONMALLOC");
    if (name && *name)
        return strstr(name, "debug") ? RESET_DEBUG : RESET_PLAIN;
    return dev_mode_asked_for() ? RESET_DEBUG : RESET_NONE;
}

/* 0: started, or will be; -1: no memory. */
TM_EXPORT int tm_boot(int frames)
{
    enum reset reset = expected_reset();
    if (reset == RESET_NONE)
        return tm_start((uint32_t)frames) ? 0 : -1;
    /* CPython allocates the hook's record now and frees it at exit: with the debug allocators, if they are in place then. */
    if (reset == RESET_DEBUG)
        PyMem_SetupDebugHooks();
    wanted_frames = frames;
    return PySys_AddAuditHook(install_after_preinit, NULL);
}
