/* SPDX-License-Identifier: MIT */
/* The command line: a face without a target of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "pager.h"
#include "tm.h"

/* ---- Ctrl-C --------------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t wanted_stop; /* the signal that asked for it */
static bool stopped;

/* The first one asks the engine to stop and tidy up; who cannot wait for that sends a second. */
static void stop(int number)
{
    if (wanted_stop && !tm_pager_runs()) {
        signal(number, SIG_DFL);
        raise(number);
    }
    wanted_stop = number;
}

static int32_t interrupted(void *data)
{
    (void)data;
    stopped |= wanted_stop != 0;
    return stopped;
}

/* A limit on the size of files is then an error of write() like any other. */
static void too_big(int number)
{
    (void)number;
}

static void handle_signals(void)
{
    /* Handlers, unlike SIG_IGN, do not reach what `tm run` starts. */
    struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART}, old;
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
    action.sa_handler = too_big;
    sigaction(SIGXFSZ, &action, NULL);
}

/* ---- progress ------------------------------------------------------------------------------------------------------- */

static bool progress_shown;

static void write_err(const char *bytes, size_t size)
{
    if (write(STDERR_FILENO, bytes, size) < 0)
        return; /* there is nobody left to tell */
}

static void hide_progress(void)
{
    static const char clear[] = "\r\x1b[K";
    if (progress_shown)
        write_err(clear, sizeof(clear) - 1);
    progress_shown = false;
}

/* Half a second is not worth mentioning. */
static void show_progress(void *data, uint64_t done, uint64_t total)
{
    static int64_t started, last;
    char text[80];
    int64_t now = tm_milliseconds();
    (void)data;
    if (!started)
        started = now;
    if (now - started < 500 || now - last < 100)
        return;
    last = now;
    double percent = total ? (double)done * 100 / (double)total : 0;
    int length =
        snprintf(text, sizeof(text), "\r\x1b[Ktm: %" PRIu64 " blocks, %.0f%%", done, percent > 100 ? 100 : percent);
    write_err(text, (size_t)length);
    progress_shown = true;
}

/* ---- output --------------------------------------------------------------------------------------------------------- */

static int32_t write_stream(void *data, int32_t stream, const char *bytes, uint64_t size)
{
    (void)data;
    hide_progress();
    if (stream == TM_STREAM_OUT)
        return tm_pager_write(bytes, size);
    while (size) {
        ssize_t done = write(STDERR_FILENO, bytes, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        bytes += done;
        size -= (uint64_t)done;
    }
    return 0;
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value;
}

int main(int argc, char **argv)
{
    struct winsize window;
    struct tm_face face = {.size = sizeof(face), .write = write_stream, .interrupted = interrupted};
    const char *terminal = getenv("TERM");
    setlocale(LC_CTYPE, ""); /* how wide characters are */
    handle_signals();
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0) {
        face.width = window.ws_col ? window.ws_col : 80;
        face.colour = !is_set("NO_COLOR") && terminal && strcmp(terminal, "dumb") != 0;
        tm_pager_open(window.ws_row ? window.ws_row : 24);
    } else {
        tm_pager_open(0);
    }
    if (isatty(STDERR_FILENO))
        face.progress = show_progress;
    int status = tm_command(&face, argc - 1, (const char *const *)argv + 1);
    hide_progress();
    tm_pager_close();
    if (stopped) { /* so that a shell's loop stops as well */
        signal(wanted_stop, SIG_DFL);
        raise(wanted_stop);
    }
    return status;
}
