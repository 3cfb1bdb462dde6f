/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "standstill.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "clock.h"

#define PATIENCE_MS 5000 /* for threads that wait in the kernel and cannot be interrupted */
#define PTRACE_STOP 128  /* PTRACE_EVENT_STOP, which glibc and the kernel both define, in ways that clash */

struct thread {
    pid_t pid;
    pid_t tid;
    int signal; /* that was about to be delivered; it goes with the thread */
    bool stopped;
    bool gone;
};

struct tm_standstill {
    struct thread *threads;
    size_t count;
    size_t room;
};

/* The number after a word of /proc/PID/task/TID/status, or the letter; 0 if it cannot be read. */
static int status_of(pid_t pid, pid_t tid, const char *word)
{
    char path[64], line[256];
    int value = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/status", (int)pid, (int)tid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file)) {
        if (!strncmp(line, word, strlen(word))) {
            const char *text = line + strlen(word) + strspn(line + strlen(word), ":\t ");
            value = *text >= '0' && *text <= '9' ? atoi(text) : *text;
            break;
        }
    }
    fclose(file);
    return value;
}

static struct tm_error *refused(const struct thread *thread, int code)
{
    int tracer = status_of(thread->pid, thread->tid, "TracerPid");
    struct tm_error *error =
        tm_error(TM_ERROR_DENIED, "process %d cannot be stopped: %s", (int)thread->pid, strerror(code));
    if (tracer)
        return tm_error_try(tm_error_because(error, "process %d, a debugger or strace, has it already", tracer),
                            "the same in that debugger, or without --stop");
    error = tm_error_because(error, "it belongs to another user, or kernel.yama.ptrace_scope forbids it");
    return tm_error_try(error, "the same command as root (sudo), or without --stop");
}

static bool knows(const struct tm_standstill *standstill, pid_t tid)
{
    for (size_t i = standstill->count; i-- > 0;) {
        if (standstill->threads[i].tid == tid)
            return true;
    }
    return false;
}

static struct tm_error *seize(struct tm_standstill *standstill, pid_t pid, pid_t tid)
{
    if (standstill->count == standstill->room) {
        size_t room = standstill->room ? standstill->room * 2 : 64;
        struct thread *threads = reallocarray(standstill->threads, room, sizeof(*threads));
        if (!threads)
            return tm_error_no_memory();
        standstill->threads = threads;
        standstill->room = room;
    }
    struct thread thread = {.pid = pid, .tid = tid};
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0) {
        int code = errno, state = status_of(pid, tid, "State");
        /* A main thread that has ended waits for the others as a zombie: it does not run. */
        if (code != ESRCH && state && state != 'Z' && state != 'X')
            return refused(&thread, code);
        thread.gone = true;
    } else if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0) {
        thread.gone = errno == ESRCH;
    }
    standstill->threads[standstill->count++] = thread;
    return NULL;
}

/* Seizes the threads of a process that are not known yet; *more: there were some. */
static struct tm_error *seize_new(struct tm_standstill *standstill, pid_t pid, bool *more)
{
    char path[64];
    struct tm_error *error = NULL;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    *more = false;
    if (!folder)
        return NULL; /* whoever reads its memory next says why */
    for (struct dirent *entry; !error && (entry = readdir(folder));) {
        pid_t tid = (pid_t)atoi(entry->d_name);
        if (tid <= 0 || knows(standstill, tid))
            continue;
        error = seize(standstill, pid, tid);
        *more = true;
    }
    closedir(folder);
    return error;
}

/* False: not yet. */
static bool look_at(struct thread *thread)
{
    int status;
    pid_t got = waitpid(thread->tid, &status, __WALL | WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return false;
    if (got < 0 || !WIFSTOPPED(status)) {
        thread->gone = true;
        return true;
    }
    thread->stopped = true;
    /* Either ours, or that of a process that was stopped already; or a signal on its way came first. */
    if (status >> 16 != PTRACE_STOP)
        thread->signal = WSTOPSIG(status);
    return true;
}

static struct tm_error *wait_for_all(const struct tm_face *face, struct tm_standstill *standstill)
{
    const struct timespec pause = {0, 200000};
    int64_t end = tm_milliseconds() + PATIENCE_MS;
    for (size_t i = 0; i < standstill->count; i++) {
        struct thread *thread = &standstill->threads[i];
        while (!thread->stopped && !thread->gone && !look_at(thread)) {
            if (face->interrupted && face->interrupted(face->data))
                return tm_error(TM_ERROR_INTERRUPTED, "interrupted");
            if (tm_milliseconds() > end)
                return tm_error_try(
                    tm_error_because(tm_error(TM_ERROR_SYSTEM, "thread %d does not stop", (int)thread->tid),
                                     "it waits in the kernel for a device or a file system (state %c)",
                                     status_of(thread->pid, thread->tid, "State")),
                    "the same without --stop");
            nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

static pid_t pid_of_source(const char *source)
{
    if (!source || !*source || source[strspn(source, "0123456789")])
        return 0;
    errno = 0;
    unsigned long pid = strtoul(source, NULL, 10);
    return errno || pid > INT_MAX ? 0 : (pid_t)pid;
}

static pid_t pid_of_face(const struct tm_face *face)
{
    return face->core_file || face->flags & TM_FACE_STOPPED ? 0 : face->pid;
}

static struct tm_error *stop(const struct tm_face *face, struct tm_standstill *standstill, pid_t pid)
{
    struct tm_error *error = NULL;
    /* Until a look finds no new thread: those that run may start others. */
    for (bool more = true; more && !error;) {
        error = seize_new(standstill, pid, &more);
        if (!error)
            error = wait_for_all(face, standstill);
    }
    return error;
}

struct tm_error *tm_standstill_begin(const struct tm_face *face, const char *source, const char *old,
                                     struct tm_standstill **ret)
{
    pid_t first = face->core_file || face->pid ? pid_of_face(face) : pid_of_source(source);
    pid_t second = pid_of_source(old);
    *ret = NULL;
    if (second == first || second == face->pid) /* the same twice; or it stands still already */
        second = 0;
    if (!first && !second)
        return NULL;
    struct tm_standstill *standstill = calloc(1, sizeof(*standstill));
    if (!standstill)
        return tm_error_no_memory();
    struct tm_error *error = first ? stop(face, standstill, first) : NULL;
    if (!error && second)
        error = stop(face, standstill, second);
    if (error) {
        tm_standstill_end(standstill);
        return error;
    }
    *ret = standstill;
    return NULL;
}

void tm_standstill_end(struct tm_standstill *standstill)
{
    if (!standstill)
        return;
    for (size_t i = 0; i < standstill->count; i++) {
        struct thread *thread = &standstill->threads[i];
        /* One that has not stopped cannot be let go in this way: see once more; else the end of this program does it. */
        if (!thread->gone && (thread->stopped || (look_at(thread) && thread->stopped)))
            ptrace(PTRACE_DETACH, thread->tid, NULL, (void *)(intptr_t)thread->signal);
    }
    free(standstill->threads);
    free(standstill);
}
