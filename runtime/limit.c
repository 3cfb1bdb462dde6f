/* SPDX-License-Identifier: MIT */
/*
 * Evidence before the memory is gone: the kernel's OOM killer leaves no core.  When the traced bytes reach a limit, the
 * hook that reached it writes an image of the table, or leaves a core of a copy of the process, or ends it.  All of it is
 * system calls: it works inside MemoryError and below `ulimit -v`.
 *
 *   PYTHONTM_LIMIT       bytes
 *   PYTHONTM_ON_LIMIT    dump (default), core, abort
 *   PYTHONTM_EVERY       per cent of the limit by which the next one is higher; unset: once
 *   PYTHONTM_DUMP        name of the image; %p pid, %n number.  Default: tm-%p-%n.table
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
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
static char dump_pattern[PATH_MAX] = "tm-%p-%n.table";

void tm_limit_configure(void)
{
    const char *limit = getenv("PYTHONTM_LIMIT");
    const char *on_limit = getenv("PYTHONTM_ON_LIMIT");
    const char *every = getenv("PYTHONTM_EVERY");
    const char *dump = getenv("PYTHONTM_DUMP");
    uint64_t bytes = limit ? strtoull(limit, NULL, 10) : 0;

    tm_runtime.limit = bytes ? bytes : UINT64_MAX;
    action = on_limit && !strcmp(on_limit, "core") ? CORE : on_limit && !strcmp(on_limit, "abort") ? ABORT : DUMP;
    step = every ? bytes / 100 * strtoull(every, NULL, 10) : 0;
    if (dump && *dump && strlen(dump) < sizeof(dump_pattern))
        strcpy(dump_pattern, dump);
}

/* fork() without the handlers that others registered, and without a SIGCHLD for the application's. */
static pid_t quiet_fork(void)
{
    return (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
}

static void die_with_core(void)
{
    signal(SIGABRT, SIG_DFL);
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

void tm_limit_crossed(uint64_t live)
{
    static uint32_t under_way;
    char path[PATH_MAX] = "a core of a copy of the process";

    if (__atomic_exchange_n(&under_way, 1, __ATOMIC_ACQUIRE))
        return;
    if (live >= tm_runtime.limit) {
        int saved_errno = errno;
        tm_runtime.limit = step ? live + step : UINT64_MAX;
        crossings++;
        if (action == ABORT)
            die_with_core();
        bool fine = action == CORE
                        ? leave_core()
                        : tm_file_expand(dump_pattern, crossings, path, sizeof(path)) && tm_file_write_image(path);
        dprintf(STDERR_FILENO, "tm: %llu traced bytes have reached the limit: %s%s%s\n", (unsigned long long)live, path,
                fine ? "" : " failed: ", fine ? "" : strerror(errno));
        errno = saved_errno;
    }
    __atomic_store_n(&under_way, 0, __ATOMIC_RELEASE);
}
