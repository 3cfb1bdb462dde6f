/* SPDX-License-Identifier: MIT */
/*
 * Live processes that stand still while they are read, so that one moment is seen, and are left exactly as they were found:
 * PTRACE_SEIZE and PTRACE_INTERRUPT of each thread.  Unlike SIGSTOP, its parent and its shell see nothing of it, a
 * process that was stopped already stays so, and however this program ends, the kernel lets the process go on.
 */
#ifndef TM_STANDSTILL_H
#define TM_STANDSTILL_H

#include "error.h"
#include "tm.h"

struct tm_standstill;

/* Of all live processes that a command looks at, at the same time.  *ret = NULL without an error: nothing runs there that
 * could be stopped (a core, a process in the debugger's hands).
 * source: of the command line, not used if the face has a target; old: what it is compared with, or NULL. */
struct tm_error *tm_standstill_begin(const struct tm_face *face, const char *source, const char *old,
                                     struct tm_standstill **ret);
/* To be called by the same thread.  NULL is fine. */
void tm_standstill_end(struct tm_standstill *standstill);

#endif
