/* SPDX-License-Identifier: MIT */
/*
 * watch: looks at a process or a control group from outside, and saves the table before the kernel kills.  The process
 * is neither stopped nor written to; what is saved is the table, never the heap.
 *
 * The first copy is made where the user said, the others at equal steps from there to the limit, so that the last K reach
 * up to it; and anew after the use has fallen by a tenth of the limit.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "memory_use.h"
#include "request.h"
#include "table_copy.h"

#define DEFAULT_AT 90
#define DEFAULT_KEEP 3
#define POLL 250      /* milliseconds */
#define FAST_POLL 50  /* the same, near the limit or under pressure */
#define PRESSED 20    /* per cent of pressure that count as an alarm, */
#define PRESSED_AT 80 /* from so many per cent of the user's threshold on */
#define WINDOW 1000   /* milliseconds that the pressure is about */
#define CALM 10000    /* milliseconds without, after which more of it is another alarm */
#define MAX_PROCESSES 64

struct watch {
    struct tm_request *request;
    struct tm_watched watched;
    uint64_t first; /* bytes at which the first copy is made */
    uint64_t next;
    uint64_t step;
    int64_t window;  /* when the last one began, in milliseconds; 0: none has */
    int64_t stalled; /* the kernel's sum at that time */
    int64_t calm;    /* when there will have been no pressure for long enough */
    uint32_t number; /* of the last file */
    char **kept;     /* names, oldest first */
    size_t kept_count;
    size_t keep;
};

__attribute__((format(printf, 2, 3))) static void say(struct watch *watch, const char *format, ...)
{
    const struct tm_face *face = watch->request->face;
    struct tm_text line = {0};
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    tm_text_add_name(&line, (struct tm_string_ref){text, (uint32_t)length});
    tm_text_add(&line, "\n", 1);
    if (face->write && !line.failed)
        face->write(face->data, TM_STREAM_OUT, line.bytes, line.size);
    tm_text_free(&line);
    free(text);
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

/* "%p" is the process, "%n" the number.  NULL: no memory. */
static char *expand(const char *pattern, pid_t pid, uint32_t number)
{
    struct tm_text text = {0};
    for (const char *at = pattern; *at; at++) {
        if (at[0] == '%' && at[1] == 'p')
            tm_text_print(&text, "%d", (int)pid);
        else if (at[0] == '%' && at[1] == 'n')
            tm_text_print(&text, "%" PRIu32, number);
        else
            tm_text_add(&text, at, 1);
        at += at[0] == '%' && (at[1] == 'p' || at[1] == 'n');
    }
    return text.bytes;
}

/* Removes the oldest of our own: no name that was not made here is ever removed. */
static void keep_file(struct watch *watch, char *path)
{
    if (watch->kept_count == watch->keep) {
        unlink(watch->kept[0]);
        free(watch->kept[0]);
        memmove(watch->kept, watch->kept + 1, (watch->kept_count - 1) * sizeof(*watch->kept));
        watch->kept_count--;
    }
    watch->kept[watch->kept_count++] = path;
}

static struct tm_error *save_process(struct watch *watch, pid_t pid, const char *why)
{
    const char *pattern = watch->request->dump_file ? watch->request->dump_file : "tm-%p-%n.table";
    struct tm_target *target;
    uint64_t written = 0;
    bool partial = false;
    struct tm_error *error = tm_target_open_process(watch->request->face, pid, &target);
    if (error)
        return error;
    char *path;
    do { /* a name that is free */
        path = expand(pattern, pid, ++watch->number);
    } while (path && access(path, F_OK) == 0 && watch->number < 1000000);
    error = path ? tm_table_copy(target, path, &written, &partial) : tm_error_no_memory();
    tm_target_destroy(target);
    if (error) {
        watch->number--;
        free(path);
        return error;
    }
    struct tm_text size = {0};
    tm_text_add_size(&size, (double)written, false);
    say(watch, "%s: saved %s (%s)%s", why, path, size.bytes ? size.bytes : "",
        partial ? ", without some single blocks: the process ended meanwhile" : "");
    tm_text_free(&size);
    keep_file(watch, path);
    return NULL;
}

/* In a group, whoever has no table is passed over; but an alarm without any table is told. */
static void save(struct watch *watch, const char *why)
{
    pid_t pids[MAX_PROCESSES];
    size_t count = tm_watched_processes(&watch->watched, pids, MAX_PROCESSES), saved = 0;
    struct tm_error *reason = NULL;
    for (size_t i = 0; i < count && saved < watch->keep; i++) {
        struct tm_error *error = save_process(watch, pids[i], why);
        saved += !error;
        if (error && !reason)
            reason = error;
        else
            tm_error_destroy(error);
    }
    if (!saved)
        say(watch, "%s: nothing saved: %s%s%s", why, reason ? reason->what : "there is no process",
            reason && reason->because ? "; " : "", reason && reason->because ? reason->because : "");
    tm_error_destroy(reason);
}

/* ---- the loop ----------------------------------------------------------------------------------------------------------- */

/* Per cent of the last second in which all waited for memory: a window that is shorter yet counts as a whole one, so that
 * a wait of 0.2 s is seen when it is over, not when the second is. */
static int pressure_now(struct watch *watch, int64_t stalled)
{
    int64_t now = tm_milliseconds(), passed = now - watch->window, waited = stalled - watch->stalled;
    bool known = watch->window && stalled >= 0 && waited >= 0;
    if (!known || passed >= WINDOW) {
        watch->window = now;
        watch->stalled = stalled;
    }
    int64_t pressure = known ? waited / 10 / (passed > WINDOW ? passed : WINDOW) : 0;
    return pressure > 100 ? 100 : (int)pressure;
}

/* One copy for one time of need. */
static bool newly_pressed(struct watch *watch, uint64_t used, int pressure)
{
    int64_t now = tm_milliseconds();
    if (pressure < PRESSED || used < watch->first / 100 * PRESSED_AT)
        return false;
    bool new = now >= watch->calm;
    watch->calm = now + CALM;
    return new;
}

static void look(struct watch *watch, const struct tm_memory_use *use, int pressure)
{
    uint64_t limit = watch->watched.limit;
    bool pressed = newly_pressed(watch, use->used, pressure);
    if (use->used >= watch->next || pressed) {
        char why[160];
        struct tm_text used = {0}, allowed = {0};
        tm_text_add_size(&used, (double)use->used, false);
        tm_text_add_size(&allowed, (double)limit, false);
        int length = snprintf(why, sizeof(why), "%s of %s (%.0f %%)", used.bytes ? used.bytes : "",
                              allowed.bytes ? allowed.bytes : "", 100.0 * (double)use->used / (double)limit);
        if (pressure > 0)
            snprintf(why + length, sizeof(why) - (size_t)length, ", pressure %d %%", pressure);
        tm_text_free(&used);
        tm_text_free(&allowed);
        save(watch, why);
        watch->next = use->used + watch->step;
    } else if (watch->next > watch->first && use->used < watch->first - limit / 10) {
        watch->next = watch->first;
    }
}

static struct tm_error *loop(struct watch *watch)
{
    struct tm_memory_use use;
    const struct tm_face *face = watch->request->face;
    for (;;) {
        bool gone;
        struct tm_error *error = tm_memory_use(&watch->watched, &use, &gone);
        if (error || gone)
            return error;
        int pressure = pressure_now(watch, use.stalled);
        look(watch, &use, pressure);
        if (face->interrupted && face->interrupted(face->data))
            return tm_error(TM_ERROR_INTERRUPTED, "interrupted");
        bool near = use.used >= watch->next - watch->watched.limit / 10 || pressure > 0;
        nanosleep(&(struct timespec){.tv_nsec = (near ? FAST_POLL : POLL) * 1000000L}, NULL);
    }
}

static struct tm_error *choose(struct tm_request *request, struct tm_watched *ret)
{
    if (!request->watched_pid == !request->group_path)
        return tm_error_try(tm_error(TM_ERROR_USAGE, "tm watch needs a PID or a --cgroup"), "tm watch --at 90%% PID");
    if (request->group_path)
        return tm_watch_group(request->group_path, request->byte_limit, ret);
    if (request->watched_pid > INT_MAX)
        return tm_error(TM_ERROR_GONE, "there is no process %" PRIu64, request->watched_pid);
    return tm_watch_process((pid_t)request->watched_pid, request->byte_limit, ret);
}

struct tm_error *tm_run_watch(struct tm_request *request)
{
    struct watch watch = {.request = request, .keep = request->keep ? request->keep : DEFAULT_KEEP};
    double at = request->at_percent > 0 ? request->at_percent : DEFAULT_AT;
    if (watch.keep > 1000)
        return tm_error(TM_ERROR_USAGE, "--keep must be at most 1000");
    if (request->dump_file && !strstr(request->dump_file, "%n"))
        return tm_error_try(tm_error(TM_ERROR_USAGE, "there will be several files: their names need a number"),
                            "--dump-file %s.%%n", request->dump_file);
    struct tm_error *error = choose(request, &watch.watched);
    if (error)
        return error;
    watch.kept = calloc(watch.keep, sizeof(*watch.kept));
    if (!watch.kept)
        return tm_error_no_memory();
    watch.first = watch.next = (uint64_t)((double)watch.watched.limit * at / 100);
    watch.step = (watch.watched.limit - watch.first) / (watch.keep + 1);
    if (watch.step < watch.watched.limit / 100)
        watch.step = watch.watched.limit / 100;
    error = loop(&watch);
    if (!error)
        say(&watch, "%s; %zu files are kept", request->group_path ? "the group is gone" : "the process has ended",
            watch.kept_count);
    for (size_t i = 0; i < watch.kept_count; i++)
        free(watch.kept[i]);
    free(watch.kept);
    return error;
}
