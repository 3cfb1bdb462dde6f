/* SPDX-License-Identifier: MIT */
/* Asks runtime/tstate.c, within a real interpreter, where a thread's state is found; called by programs/place.py. */
#include <stdlib.h>

#include "runtime/tstate.h"

enum {
    LEARNT = 1,
    RIGHT_WHILE_ATTACHED = 2,
    EMPTY_WHILE_DETACHED = 4,
};

/* Of the calling thread, which holds the GIL; as if it had never asked before. */
int place_here(void)
{
    struct tm_thread *thread = calloc(1, sizeof(*thread));
    int ret = 0;

    thread->tstate_place = &tm_tstate_nowhere;
    PyThreadState *tstate = tm_tstate_ask(thread);
    if (thread->tstate_place != &tm_tstate_nowhere)
        ret |= LEARNT;
    if (tstate == tm_tstate_attached() && tm_tstate_current(thread) == tstate)
        ret |= RIGHT_WHILE_ATTACHED;
    PyEval_SaveThread();
    if (!*thread->tstate_place)
        ret |= EMPTY_WHILE_DETACHED;
    PyEval_RestoreThread(tstate);
    free(thread);
    return ret;
}

/* The same in a new interpreter: another state in the same thread. */
int place_in_subinterpreter(void)
{
    PyThreadState *main = PyThreadState_Get();
    PyThreadState *sub = Py_NewInterpreter();
    int ret = sub && sub != main ? place_here() : 0;
    if (sub)
        Py_EndInterpreter(sub);
    PyThreadState_Swap(main);
    return ret;
}
