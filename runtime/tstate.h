/* SPDX-License-Identifier: MIT */
/*
 * The calling thread's state, fast.  The accessor costs as much as looking up a slot: from 3.12 on two calls (its own and
 * __tls_get_addr's).  So each thread remembers where CPython itself has it:
 *
 *   3.8 - 3.11  _PyRuntime.gilstate.tstate_current (Include/internal/pycore_runtime.h, 3.8: pycore_pystate.h): whoever holds the GIL.
 *   3.12 on     `_Py_tss_tstate`, a thread-local variable of libpython (Python/pystate.c) that is not exported.  It lies
 *               at the same distance from every thread's pointer, if libpython was there when the program started: so it
 *               is looked for once, by its value, and each thread checks for itself before it trusts the distance.
 *   3.15        has a second one, `_Py_tss_gilstate`, which keeps the value when the thread lets go of the GIL.  While it
 *               holds it nothing tells the two apart but the accessor's code, if that is a single load: where the
 *               executable has libpython in it.  With a shared libpython each thread goes on asking.
 */
#ifndef TM_TSTATE_H
#define TM_TSTATE_H

#include "frames.h"
#include "runtime.h"

/* The place of a thread that has not learnt it: holds NULL. */
extern void *const tm_tstate_nowhere TM_HIDDEN;
/* tstate.c: asks CPython, and learns the place. */
PyThreadState *tm_tstate_ask(struct tm_thread *thread);

/* Of a thread that holds its GIL; NULL otherwise (before 3.12: the holder's). */
static TM_ALWAYS_INLINE PyThreadState *tm_tstate_current(struct tm_thread *thread)
{
    PyThreadState *tstate = __atomic_load_n((PyThreadState *const *)thread->tstate_place, __ATOMIC_RELAXED);
    return TM_LIKELY(tstate != NULL) ? tstate : tm_tstate_ask(thread);
}

#endif
