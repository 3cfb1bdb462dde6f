/* SPDX-License-Identifier: MIT */
/* Live processes of this machine, read without stopping them: /proc/PID/maps and process_vm_readv(2). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "target.h"

struct process {
    struct tm_target target;
    size_t region_room;
    char **paths; /* of regions */
    size_t path_count;
    int memory; /* /proc/PID/mem, once process_vm_readv(2) has turned out to be missing or forbidden; otherwise -1 */
};

static ssize_t read_some(struct process *process, uint64_t address, void *buffer, size_t size)
{
    if (process->memory < 0) {
        struct iovec local = {buffer, size}, remote = {(void *)(uintptr_t)address, size};
        ssize_t got = process_vm_readv(process->target.pid, &local, 1, &remote, 1, 0);
        /* A kernel without CONFIG_CROSS_MEMORY_ATTACH; or a seccomp filter, as Docker's, whose EPERM looks like the kernel's:
         * the file asks for the same permission. */
        int code = errno;
        if (got >= 0 || (code != ENOSYS && code != EPERM))
            return got;
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/mem", (int)process->target.pid);
        process->memory = open(path, O_RDONLY | O_CLOEXEC);
        if (process->memory < 0) {
            errno = code == EPERM ? code : errno;
            return -1;
        }
    }
    return pread(process->memory, buffer, size, (off_t)address);
}

static struct tm_fault process_read(struct tm_target *target, uint64_t address, void *buffer, uint64_t size)
{
    struct process *process = (struct process *)target;
    uint64_t done = 0;
    while (done < size) {
        if (tm_target_interrupted(target))
            return (struct tm_fault){TM_READ_INTERRUPTED, address + done};
        size_t piece = size - done < (UINT64_C(64) << 20) ? size - done : (UINT64_C(64) << 20);
        ssize_t got = read_some(process, address + done, (uint8_t *)buffer + done, piece);
        if (got <= 0) {
            bool unmapped = got == 0 || errno == EFAULT || errno == EIO;
            return (struct tm_fault){unmapped ? TM_READ_UNMAPPED : TM_READ_DENIED, address + done};
        }
        done += got;
    }
    return (struct tm_fault){TM_READ_OK, address + size};
}

static void process_destroy(struct tm_target *target)
{
    struct process *process = (struct process *)target;
    for (size_t i = 0; i < process->path_count; i++)
        free(process->paths[i]);
    free(process->paths);
    if (process->memory >= 0)
        close(process->memory);
    free(process);
}

static const struct tm_target_ops process_ops = {
    .read = process_read,
    .destroy = process_destroy,
};

static struct tm_error *gone(pid_t pid)
{
    struct tm_error *error = tm_error(TM_ERROR_GONE, "there is no process %d", (int)pid);
    error = tm_error_because(error, "it has ended, or lives in another pid namespace");
    return tm_error_try(error, "pgrep -a python");
}

static struct tm_error *denied(pid_t pid, int code)
{
    struct tm_error *error = tm_error(TM_ERROR_DENIED, "not allowed to read process %d: %s", (int)pid, strerror(code));
    error = tm_error_because(error, "it belongs to another user, or kernel.yama.ptrace_scope forbids it");
    return tm_error_try(error, "the same command as root (sudo), or a core file of it");
}

/* Keeps the path of a region; consecutive regions of one file share it. */
static const char *keep_path(struct process *process, const char *path)
{
    if (process->path_count && !strcmp(process->paths[process->path_count - 1], path))
        return process->paths[process->path_count - 1];
    char **paths = reallocarray(process->paths, process->path_count + 1, sizeof(*paths));
    if (!paths)
        return NULL;
    process->paths = paths;
    char *copy = strdup(path);
    if (copy)
        paths[process->path_count++] = copy;
    return copy;
}

static struct tm_error *add_mapping(struct process *process, char *line)
{
    uint64_t start, end, offset;
    char access[5];
    int path = 0;
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %*s %n", &start, &end, access, &offset, &path) < 4)
        return NULL;
    line[strcspn(line, "\n")] = 0;
    struct tm_region region = {
        .start = start,
        .end = end,
        .offset = offset,
        .flags = (access[0] == 'r' ? TM_REGION_READ : 0) | (access[1] == 'w' ? TM_REGION_WRITE : 0) |
                 (access[2] == 'x' ? TM_REGION_EXECUTE : 0),
        .missing = TM_READ_DENIED,
        .path = path && line[path] ? keep_path(process, line + path) : NULL,
    };
    /* The kernel's own pages, which process_vm_readv(2) cannot read */
    bool special = region.path && (!strcmp(region.path, "[vvar]") || !strcmp(region.path, "[vsyscall]"));
    region.saved = (region.flags & TM_REGION_READ) && !special ? end - start : 0;
    return tm_regions_add(&process->target, &process->region_room, &region);
}

static struct tm_error *read_mappings(struct process *process)
{
    pid_t pid = process->target.pid;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT || errno == ESRCH ? gone(pid) : denied(pid, errno);
    struct tm_error *error = NULL;
    char *line = NULL;
    size_t room = 0;
    errno = 0;
    while (!error && getline(&line, &room, file) > 0)
        error = add_mapping(process, line);
    int code = errno;
    free(line);
    fclose(file);
    if (error || process->target.region_count) {
        tm_regions_finish(&process->target);
        return error;
    }
    if (code == EACCES || code == EPERM)
        return denied(pid, code);
    error = tm_error(TM_ERROR_GONE, "process %d has no memory", (int)pid);
    return tm_error_because(error, "it has ended and waits for its parent (a zombie), or is part of the kernel");
}

static void read_command(struct process *process)
{
    char path[64], text[256];
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)process->target.pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size <= 0)
        return;
    for (ssize_t i = 0; i < size - 1; i++) {
        if (!text[i])
            text[i] = ' ';
    }
    text[size] = 0;
    process->target.program = strdup(text);
}

struct tm_error *tm_target_open_process(const struct tm_face *face, pid_t pid, struct tm_target **ret)
{
    if (pid <= 0)
        return gone(pid);
    struct process *process = calloc(1, sizeof(*process));
    if (!process)
        return tm_error_no_memory();
    process->memory = -1;
    process->target.ops = &process_ops;
    process->target.face = face;
    process->target.pid = pid;
    process->target.live = true;
    struct tm_error *error = NULL;
    if (asprintf(&process->target.name, "process %d", (int)pid) < 0 ||
        asprintf(&process->target.source_root, "/proc/%d/root", (int)pid) < 0)
        error = tm_error_no_memory();
    if (!error)
        error = read_mappings(process);
    if (!error) {
        /* maps may be read where memory may not (a process that changed its user): ask before anything is claimed. */
        uint8_t byte;
        for (size_t i = 0; i < process->target.region_count; i++) {
            const struct tm_region *region = &process->target.regions[i];
            if (!region->saved)
                continue;
            if (read_some(process, region->start, &byte, 1) < 0 && (errno == EPERM || errno == EACCES))
                error = denied(pid, errno);
            else if (errno == ESRCH)
                error = gone(pid);
            break;
        }
    }
    if (error) {
        tm_target_destroy(&process->target);
        return error;
    }
    read_command(process);
    *ret = &process->target;
    return NULL;
}
