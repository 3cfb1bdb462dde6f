/* SPDX-License-Identifier: MIT */
/*
 * The calling thread's state, fast.  From 3.12 on it is a thread-local variable of libpython (`_Py_tss_tstate`) that is
 * not exported; the accessor costs two calls (its own and __tls_get_addr's), twice as much as looking up a slot.  The
 * variable lies at the same distance from every thread's pointer, if libpython was there when the program started: so it
 * is looked for once, by its value, and each thread checks for itself before it trusts the distance.
 */
#ifndef TM_TSTATE_H
#define TM_TSTATE_H

#include "frames.h"
#include "runtime.h"

#if PY_VERSION_HEX >= 0x030C0000 && defined(__x86_64__)
#define TM_FIND_TSTATE 1

/* Distance from the thread pointer; 0: not known. */
extern intptr_t tm_tstate_offset;
/* tstate.c: asks CPython, and learns the distance or checks it for this thread. */
PyThreadState *tm_tstate_learn(struct tm_thread *thread);

static TM_ALWAYS_INLINE PyThreadState *tm_tstate_current(struct tm_thread *thread)
{
    PyThreadState *tstate;
    if (TM_UNLIKELY(!thread->trusts_tstate_offset))
        return tm_tstate_learn(thread);
    __asm__("movq %%fs:(%1), %0" : "=r"(tstate) : "r"(tm_tstate_offset) : "memory");
    return tstate;
}

#else

static TM_ALWAYS_INLINE PyThreadState *tm_tstate_current(struct tm_thread *thread)
{
    (void)thread;
    return tm_tstate_attached();
}

#endif
#endif
