/* SPDX-License-Identifier: MIT */
/* How much memory a process or a control group uses, of how much it may: as the kernel tells it, from outside. */
#ifndef TM_MEMORY_USE_H
#define TM_MEMORY_USE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

struct tm_watched {
    pid_t pid;        /* 0: all processes of the group */
    char group[8192]; /* folder of the control group; "": none, the process alone is measured */
    bool version1;    /* memory.usage_in_bytes, not memory.current */
    uint64_t limit;   /* bytes; of the group if the user gave none */
};

struct tm_memory_use {
    uint64_t used;
    int64_t stalled; /* microseconds, ever, in which all waited for memory (PSI); < 0: unknown */
};

/* pid: the group whose limit it will reach first.  group: a path, or one below the mount of the control groups.  limit: 0
 * if the user gave none. */
struct tm_error *tm_watch_process(pid_t pid, uint64_t limit, struct tm_watched *ret);
struct tm_error *tm_watch_group(const char *group, uint64_t limit, struct tm_watched *ret);
/* *gone: there is nothing left to watch. */
struct tm_error *tm_memory_use(const struct tm_watched *watched, struct tm_memory_use *ret, bool *gone);
/* The group's processes, at most `room`, the biggest first. */
size_t tm_watched_processes(const struct tm_watched *watched, pid_t *pids, size_t room);

#endif
