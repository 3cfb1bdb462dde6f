/* SPDX-License-Identifier: MIT */
/*
 * coredump: what `coredumpctl debug --debugger=tm --debugger-arguments='coredump VERB ...'` calls.
 *
 * systemd appends "EXE -c CORE" to the words of its user, as GDB and LLDB want it.  EXE is not needed: a core says itself
 * what was traced.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "request.h"

static struct tm_error *usage(void)
{
    return tm_error_try(
        tm_error(TM_ERROR_USAGE, "tm coredump needs to know the core: tm coredump [VERB ...] EXE -c CORE"),
        "coredumpctl debug --debugger=tm --debugger-arguments=coredump PID");
}

struct tm_error *tm_run_coredump(struct tm_request *request)
{
    char **words = request->rest, *core, *report[] = {"report", NULL};
    int count = request->rest_count;
    if (count >= 3 && !strcmp(words[count - 2], "-c")) {
        core = words[count - 1];
        count -= 3;
    } else if (count == 2) { /* as GDB is called by hand */
        core = words[1];
        count = 0;
    } else {
        return usage();
    }
    if (!count) {
        words = report;
        count = 1;
    }
    struct tm_error *error = NULL;
    const struct tm_verb *verb = tm_verb_find(request->face, words[0], &error);
    if (!verb)
        return error;
    if (verb->flags & TM_VERB_NO_TARGET)
        return tm_error_try(tm_error(TM_ERROR_USAGE, "tm %s does not look into a core", verb->name),
                            "tm coredump top %s", core);
    char **argv = calloc((size_t)count + 3, sizeof(*argv));
    if (!argv)
        return tm_error_no_memory();
    bool last = verb->flags & TM_VERB_SOURCE_LAST;
    argv[0] = "tm";
    argv[1] = words[0];
    argv[2] = core;
    memcpy(argv + (last ? 2 : 3), words + 1, (size_t)(count - 1) * sizeof(*argv));
    argv[last ? count + 1 : 2] = core;
    execv("/proc/self/exe", argv);
    free(argv);
    return tm_error_because(tm_error(TM_ERROR_SYSTEM, "cannot run tm again"), "%s", strerror(errno));
}
