/* SPDX-License-Identifier: MIT */
/*
 * Both versions of control groups: memory.current and memory.max (cgroup-v2.rst), memory.usage_in_bytes and
 * memory.limit_in_bytes (cgroup-v1/memory.rst).  A group's use includes its page cache, which the kernel gives up before
 * it kills anybody; so the inactive part of that is subtracted, as the kubelet does for its working set.
 */
#define _GNU_SOURCE
#include "memory_use.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_LIMIT (UINT64_C(1) << 60) /* version 1 writes a huge number where there is none */
#define MAX_DEPTH 32                 /* of groups below the one that is watched */

/* ---- small files of the kernel --------------------------------------------------------------------------------------- */

static FILE *open_file(const char *folder, const char *name)
{
    char path[PATH_MAX];
    return (size_t)snprintf(path, sizeof(path), "%s/%s", folder, name) < sizeof(path) ? fopen(path, "re") : NULL;
}

/* "max" is NO_LIMIT. */
static bool read_number(const char *folder, const char *name, uint64_t *ret)
{
    char text[64] = "";
    FILE *file = open_file(folder, name);
    if (!file)
        return false;
    bool got = fgets(text, sizeof(text), file) != NULL;
    fclose(file);
    *ret = !strncmp(text, "max", 3) ? NO_LIMIT : strtoull(text, NULL, 10);
    return got;
}

/* The number behind a word at the beginning of a line; 0: there is none. */
static uint64_t read_field(const char *folder, const char *name, const char *word)
{
    char line[256];
    uint64_t value = 0;
    size_t length = strlen(word);
    FILE *file = open_file(folder, name);
    while (file && fgets(line, sizeof(line), file)) {
        if (!strncmp(line, word, length) && (line[length] == ' ' || line[length] == '\t')) {
            value = strtoull(line + length, NULL, 10);
            break;
        }
    }
    if (file)
        fclose(file);
    return value;
}

/* The sum, not the averages beside it: those begin at ten seconds, and change every two. */
static int64_t read_stalled(const char *folder, const char *name)
{
    char line[256];
    int64_t stalled = -1;
    FILE *file = open_file(folder, name);
    while (file && fgets(line, sizeof(line), file)) {
        const char *at = strstr(line, "total=");
        if (!strncmp(line, "full", 4) && at)
            stalled = strtoll(at + 6, NULL, 10);
    }
    if (file)
        fclose(file);
    return stalled;
}

/* ---- groups ------------------------------------------------------------------------------------------------------------ */

/* Where the memory controller is mounted, of either version; "": not here. */
static void find_mount(bool version1, char *ret, size_t room)
{
    char line[4096], point[4096], type[64], options[1024];
    ret[0] = 0;
    FILE *file = fopen("/proc/self/mounts", "re");
    while (file && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%*s %4095s %63s %1023s", point, type, options) != 3)
            continue;
        /* A second mount (of some container's root) does not count. */
        bool mine = version1 ? !strcmp(type, "cgroup") && strstr(options, "memory") : !strcmp(type, "cgroup2");
        if (mine && !ret[0] && strlen(point) < room)
            memcpy(ret, point, strlen(point) + 1);
    }
    if (file)
        fclose(file);
}

static const char *limit_name(bool version1)
{
    return version1 ? "memory.limit_in_bytes" : "memory.max";
}

static bool group_use(const char *folder, bool version1, uint64_t *ret)
{
    if (!read_number(folder, version1 ? "memory.usage_in_bytes" : "memory.current", ret))
        return false;
    uint64_t cache = read_field(folder, "memory.stat", version1 ? "total_inactive_file" : "inactive_file");
    *ret -= cache < *ret ? cache : *ret;
    return true;
}

/* Of a group and those above it, the one that is nearest to its limit. */
static void tightest(char *folder, const char *mount, bool version1, struct tm_watched *ret)
{
    double worst = -1;
    for (;;) {
        uint64_t limit, used;
        if (read_number(folder, limit_name(version1), &limit) && limit && limit < NO_LIMIT &&
            group_use(folder, version1, &used) && (double)used / (double)limit > worst) {
            worst = (double)used / (double)limit;
            ret->limit = limit;
            ret->version1 = version1;
            snprintf(ret->group, sizeof(ret->group), "%s", folder);
        }
        char *slash = strrchr(folder, '/');
        if (!slash || strlen(folder) <= strlen(mount))
            return;
        *slash = 0;
    }
}

/* /proc/PID/cgroup: "0::/path" (version 2), "7:memory:/path" (version 1); cgroups(7). */
static void find_group(pid_t pid, struct tm_watched *ret)
{
    char process[64], line[4096], mount[2048], folder[sizeof(mount) + sizeof(line)];
    snprintf(process, sizeof(process), "/proc/%d", (int)pid);
    FILE *file = open_file(process, "cgroup");
    while (file && !ret->group[0] && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = 0;
        bool version2 = !strcmp(line, "0:"), version1 = strstr(controllers, "memory") != NULL;
        if (!version1 && !version2)
            continue;
        find_mount(version1, mount, sizeof(mount));
        if (!mount[0] || strstr(path, "/..")) /* above the root of this container's groups */
            continue;
        snprintf(folder, sizeof(folder), "%s%s", mount, strcmp(path, "/") ? path : "");
        tightest(folder, mount, version1, ret);
    }
    if (file)
        fclose(file);
}

/* ---- what the verb asks ------------------------------------------------------------------------------------------------ */

static bool process_use(pid_t pid, uint64_t *ret)
{
    char folder[64];
    snprintf(folder, sizeof(folder), "/proc/%d", (int)pid);
    uint64_t kilobytes = read_field(folder, "status", "VmRSS:"); /* a zombie has none */
    *ret = kilobytes * 1024;
    return kilobytes > 0;
}

struct tm_error *tm_watch_process(pid_t pid, uint64_t limit, struct tm_watched *ret)
{
    uint64_t used;
    *ret = (struct tm_watched){.pid = pid, .limit = limit};
    if (!process_use(pid, &used))
        return tm_error_try(tm_error(TM_ERROR_GONE, "there is no process %d", (int)pid), "pgrep -a python");
    if (!limit)
        find_group(pid, ret);
    if (!ret->limit)
        return tm_error_try(
            tm_error_because(tm_error(TM_ERROR_USAGE, "it is not known how much memory process %d may use", (int)pid),
                             "neither its control group nor those above have a limit"),
            "tm watch --limit 2G %d", (int)pid);
    return NULL;
}

struct tm_error *tm_watch_group(const char *group, uint64_t limit, struct tm_watched *ret)
{
    *ret = (struct tm_watched){0};
    uint64_t used;
    char mount[2048];
    bool known = false;
    for (int try = 0; try < 4 && !known; try++) {
        ret->version1 = try & 1;
        find_mount(ret->version1, mount, sizeof(mount));
        if (try < 2)
            snprintf(ret->group, sizeof(ret->group), "%s", group);
        else
            snprintf(ret->group, sizeof(ret->group), "%s%s%s", mount, group[0] == '/' ? "" : "/", group);
        known = group_use(ret->group, ret->version1, &used);
    }
    if (!known)
        return tm_error_try(
            tm_error_because(tm_error(TM_ERROR_GONE, "%s is no control group with a memory controller", group),
                             "it has neither memory.current nor memory.usage_in_bytes"),
            "cat /proc/PID/cgroup, and that path below %s", mount[0] ? mount : "/sys/fs/cgroup");
    ret->limit = limit;
    if (!limit && (!read_number(ret->group, limit_name(ret->version1), &ret->limit) || ret->limit >= NO_LIMIT))
        return tm_error_try(tm_error(TM_ERROR_USAGE, "the control group %s has no limit of memory", group),
                            "tm watch --cgroup %s --limit 2G", group);
    return NULL;
}

struct tm_error *tm_memory_use(const struct tm_watched *watched, struct tm_memory_use *ret, bool *gone)
{
    uint64_t alone = 0;
    ret->stalled = watched->group[0] ? read_stalled(watched->group, "memory.pressure") : -1;
    if (ret->stalled < 0)
        ret->stalled = read_stalled("/proc/pressure", "memory");
    bool there = !watched->pid || process_use(watched->pid, &alone);
    if (there && watched->group[0])
        there = group_use(watched->group, watched->version1, &ret->used);
    else
        ret->used = alone;
    *gone = !there;
    return NULL;
}

struct member {
    pid_t pid;
    uint64_t used;
};

static int bigger_first(const void *left, const void *right)
{
    const struct member *a = left, *b = right;
    return (a->used < b->used) - (a->used > b->used);
}

struct members {
    struct member members[256];
    size_t count;
};

static void add_member(struct members *all, pid_t pid)
{
    struct member *member = &all->members[all->count];
    member->pid = pid;
    all->count += pid > 0 && process_use(pid, &member->used);
}

/* Also those of the groups below: what has a limit, as a slice or a pod, often has no process of its own. */
static void add_group(struct members *all, const char *folder, int depth)
{
    int pid;
    char path[PATH_MAX];
    const size_t room = sizeof(all->members) / sizeof(all->members[0]);
    FILE *file = open_file(folder, "cgroup.procs");
    while (file && all->count < room && fscanf(file, "%d", &pid) == 1)
        add_member(all, pid);
    if (file)
        fclose(file);
    DIR *directory = depth < MAX_DEPTH ? opendir(folder) : NULL;
    struct dirent *entry;
    while (directory && all->count < room && (entry = readdir(directory))) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.' &&
            (size_t)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < sizeof(path))
            add_group(all, path, depth + 1);
    }
    if (directory)
        closedir(directory);
}

size_t tm_watched_processes(const struct tm_watched *watched, pid_t *pids, size_t room)
{
    struct members all = {.count = 0};
    if (watched->pid) {
        pids[0] = watched->pid;
        return 1;
    }
    add_group(&all, watched->group, 0);
    qsort(all.members, all.count, sizeof(all.members[0]), bigger_first);
    size_t count = all.count < room ? all.count : room;
    for (size_t i = 0; i < count; i++)
        pids[i] = all.members[i].pid;
    return count;
}
