/* SPDX-License-Identifier: MIT */
/* Start before the interpreter: called from preload.c's constructor. */
#define _GNU_SOURCE 1
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "frames.h"
#include "runtime.h"

static int wanted_frames;

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

/* Will CPython, while it pre-initializes, set its allocators anew, over hooks that are there already?
 * (Python/preconfig.c, _PyMem_SetupAllocators) */
static bool allocators_will_be_reset(void)
{
    const char *name = getenv("PYTHONMALLOC");
    return (name && *name) || dev_mode_asked_for();
}

/*
 * CPython allocates the record of an audit hook when it is added, here before it has chosen its allocators, and frees it at
 * exit with those that it chose: pydebug builds begin with debug allocators, and mimalloc may serve the raw domain (3.15).
 * So the record is ours, and a free() in front of the chosen one knows it.
 */
static void *record;
static void (*chosen_free)(void *ctx, void *block);

static void *malloc_record(void *ctx, size_t size)
{
    (void)ctx;
    return record = malloc(size);
}

static void free_record(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static void free_but_record(void *ctx, void *block)
{
    if (block && block == record)
        free(block);
    else
        chosen_free(ctx, block);
}

static void keep_record(void)
{
    PyMemAllocatorEx raw;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &raw);
    chosen_free = raw.free;
    raw.free = free_but_record;
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &raw);
}

/* First audit event of an interpreter's life: cpython.PyInterpreterState_New.  By then CPython has chosen its allocators. */
static int install_after_preinit(const char *event, PyObject *arguments, void *data)
{
    (void)event;
    (void)arguments;
    (void)data;
    if (wanted_frames) {
        int frames = wanted_frames;
        wanted_frames = 0;
        keep_record();
        tm_start((uint32_t)frames);
    }
    return 0;
}

static int add_audit_hook(void)
{
    PyMemAllocatorEx before, ours;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &before);
    ours = before;
    ours.malloc = malloc_record;
    ours.free = free_record;
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &ours);
    int failed = PySys_AddAuditHook(install_after_preinit, NULL);
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &before);
    return failed;
}

/* 0: started, or will be; -1: no memory. */
TM_EXPORT int tm_boot(int frames)
{
    if (!allocators_will_be_reset())
        return tm_start((uint32_t)frames) ? 0 : -1;
    wanted_frames = frames;
    return add_audit_hook();
}
