/* SPDX-License-Identifier: MIT */
/* Text is kept until it is more than a screen: a pager for five lines is a nuisance, and costs more than the answer. */
#include "pager.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "text.h"

extern char **environ;

static struct {
    unsigned rows;
    unsigned lines; /* in `kept` */
    bool decided;   /* nothing is kept any more */
    struct tm_text kept;
    int fd;
    pid_t pid;
} pager = {.fd = STDOUT_FILENO};

bool tm_pager_runs(void)
{
    return pager.pid > 0;
}

static void ignore(int signal_number)
{
    (void)signal_number;
}

static int write_all(const char *bytes, size_t size)
{
    while (size) {
        ssize_t done = write(pager.fd, bytes, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -1;
        bytes += done;
        size -= (size_t)done;
    }
    return 0;
}

/* The user's own, or less -FRX; without either, the terminal has its own way of scrolling. */
static void start(void)
{
    const char *command = getenv("PAGER");
    const char *terminal = getenv("TERM");
    int ends[2];
    posix_spawn_file_actions_t actions;
    if ((command && (!*command || !strcmp(command, "cat"))) || !terminal || !strcmp(terminal, "dumb") || pipe(ends))
        return;
    char *const own[] = {"sh", "-c", (char *)command, NULL};
    char *const usual[] = {"less", "-FRX", NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    char *const *argv = command ? own : usual;
    int failed = posix_spawnp(&pager.pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    if (failed) {
        close(ends[1]);
        pager.pid = 0;
        return;
    }
    pager.fd = ends[1];
    /* Who quits the pager has seen enough: write() then fails, and the engine stops.  A handler, unlike SIG_IGN, does not
     * outlive an exec. */
    signal(SIGPIPE, ignore);
}

static int decide(bool with_pager)
{
    pager.decided = true;
    if (with_pager)
        start();
    int result = pager.kept.size ? write_all(pager.kept.bytes, pager.kept.size) : 0;
    tm_text_free(&pager.kept);
    return result;
}

void tm_pager_open(unsigned rows)
{
    pager.rows = rows;
    pager.decided = rows == 0;
}

int tm_pager_write(const char *bytes, size_t size)
{
    if (pager.decided)
        return write_all(bytes, size);
    tm_text_add(&pager.kept, bytes, size);
    for (size_t i = 0; i < size; i++)
        pager.lines += bytes[i] == '\n';
    return pager.kept.failed || pager.lines >= pager.rows ? decide(true) : 0;
}

void tm_pager_close(void)
{
    if (!pager.decided)
        decide(false);
    if (!pager.pid)
        return;
    close(pager.fd);
    while (waitpid(pager.pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    pager.pid = 0;
    pager.fd = STDOUT_FILENO;
}
