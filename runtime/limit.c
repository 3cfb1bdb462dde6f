/* SPDX-License-Identifier: MIT */
/*
 * Evidence before the memory is gone: the kernel's OOM killer leaves no core.  When the traced bytes reach a limit, the
 * hook that reached it writes an image of the table, or leaves a core of a copy of the process, or ends it.  All of it is
 * system calls: it works inside MemoryError and below `ulimit -v`.
 *
 *   PYTHONTM_LIMIT       bytes, also as 500M or 2G
 *   PYTHONTM_ON_LIMIT    dump (default), core, abort
 *   PYTHONTM_EVERY       per cent of the limit by which the next one is higher; unset: once
 *   PYTHONTM_DUMP        name of the image; %p pid, %n number.  Default: tm-%p-%n.table, where the program was started
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime.h"

enum action {
    DUMP,
    CORE,
    ABORT,
};

static enum action action;
static uint64_t step;
static uint32_t crossings;
static char dump_pattern[PATH_MAX];
static struct stat stderr_status;
static bool stderr_known;
static uint32_t under_way; /* a thread acts; what the functions below keep in static memory is its */

/* ---- what is wanted ---------------------------------------------------------------------------------------------- */

static void complain(const char *name, const char *value)
{
    dprintf(STDERR_FILENO, "tm: %s=%s makes no sense, and is ignored\n", name, value);
}

/* A number and perhaps a unit; 0: unset, or nonsense. */
static uint64_t number_from(const char *name, const char *units)
{
    const char *value = getenv(name);
    if (!value || !*value)
        return 0;
    char *end;
    errno = 0;
    uint64_t number = strtoull(value, &end, 10), factor = 1;
    const char *unit = *end ? strchr(units, *end) : NULL;
    if (unit) {
        if (*units == 'K')
            factor = UINT64_C(1) << (10 * (unit - units + 1));
        end++;
    }
    if (errno || *end || *value < '0' || *value > '9' || __builtin_mul_overflow(number, factor, &number)) {
        complain(name, value);
        return 0;
    }
    return number;
}

/* Absolute: a daemon goes to /, where it may not write. */
static void set_dump_pattern(const char *pattern)
{
    size_t length = 0;
    dump_pattern[0] = '\0';
    if (pattern[0] != '/' && getcwd(dump_pattern, sizeof(dump_pattern) - 1)) {
        length = strlen(dump_pattern);
        dump_pattern[length++] = '/';
    }
    size_t size = strlen(pattern) + 1;
    if (size <= sizeof(dump_pattern) - length)
        memcpy(dump_pattern + length, pattern, size);
    else
        complain("PYTHONTM_DUMP", pattern);
}

void tm_limit_configure(void)
{
    const char *on_limit = getenv("PYTHONTM_ON_LIMIT");
    const char *dump = getenv("PYTHONTM_DUMP");
    uint64_t bytes = number_from("PYTHONTM_LIMIT", "KMGT");

    __atomic_store_n(&tm_runtime.limit, bytes ? bytes : UINT64_MAX, __ATOMIC_RELAXED);
    if (!bytes)
        return;
    action = on_limit && !strcmp(on_limit, "core") ? CORE : on_limit && !strcmp(on_limit, "abort") ? ABORT : DUMP;
    if (on_limit && *on_limit && action == DUMP && strcmp(on_limit, "dump") != 0)
        complain("PYTHONTM_ON_LIMIT", on_limit);
    step = bytes / 100 * number_from("PYTHONTM_EVERY", "%");
    set_dump_pattern(dump && *dump ? dump : "tm-%p-%n.table");
    stderr_known = !fstat(STDERR_FILENO, &stderr_status);
}

/* The thread that acted, if there was one, is the parent's. */
void tm_limit_after_fork_child(void)
{
    under_way = 0;
}

/* ---- what is done ------------------------------------------------------------------------------------------------ */

/* Descriptor 2 is somebody's database in a program that closed all it had when it became a daemon. */
static bool may_speak(void)
{
    struct stat status;
    return stderr_known && !fstat(STDERR_FILENO, &status) && status.st_dev == stderr_status.st_dev &&
           status.st_ino == stderr_status.st_ino;
}

/* fork() without the handlers that others registered, and without a SIGCHLD for the application's. */
static pid_t quiet_fork(void)
{
    return (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
}

static void die_with_core(void)
{
    struct rlimit cores;
    signal(SIGABRT, SIG_DFL);
    /* The soft limit is 0 nearly everywhere; a core was asked for. */
    if (!getrlimit(RLIMIT_CORE, &cores)) {
        cores.rlim_cur = cores.rlim_max;
        setrlimit(RLIMIT_CORE, &cores);
    }
    sigset_t all;
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    syscall(SYS_kill, syscall(SYS_getpid), SIGABRT);
    _exit(127);
}

/* The copy is a grandchild, so that the application never has a child that it did not make. */
static bool leave_core(void)
{
    pid_t child = quiet_fork();
    if (child < 0)
        return false;
    if (child == 0) {
        if (quiet_fork() == 0)
            die_with_core();
        _exit(0);
    }
    while (waitpid(child, NULL, __WCLONE) < 0 && errno == EINTR)
        ;
    return true;
}

static void say(uint64_t live, const char *what, const char *failure)
{
    if (may_speak())
        dprintf(STDERR_FILENO, "tm: %llu traced bytes have reached the limit: %s%s%s\n", (unsigned long long)live, what,
                failure ? " failed: " : "", failure ? failure : "");
}

static void act(uint64_t live)
{
    static char path[PATH_MAX];
    bool fine;
    if (action == ABORT) {
        say(live, "aborting", NULL);
        die_with_core();
    }
    if (action == CORE)
        fine = leave_core();
    else
        fine = tm_file_expand(dump_pattern, crossings, path, sizeof(path)) && tm_file_write_image(path);
    say(live, action == CORE ? "a core of a copy of the process" : path, fine ? NULL : strerror(errno));
}

void tm_limit_crossed(uint64_t live)
{
    if (__atomic_exchange_n(&under_way, 1, __ATOMIC_ACQUIRE))
        return;
    if (live >= tm_runtime.limit) {
        int saved_errno = errno;
        __atomic_store_n(&tm_runtime.limit, step ? live + step : UINT64_MAX, __ATOMIC_RELAXED);
        crossings++;
        act(live);
        errno = saved_errno;
    }
    __atomic_store_n(&under_way, 0, __ATOMIC_RELEASE);
}
