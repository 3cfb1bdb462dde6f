/* SPDX-License-Identifier: MIT */
/*
 * As much of an interpreter as the runtime needs: so its hooks, map, tables and stack cache run under ThreadSanitizer, built
 * as for a CPython with a GIL and as for one without.  The real headers give the layouts; nothing of libpython is linked.
 */
#ifndef STAND_IN_H
#define STAND_IN_H

#include <pthread.h>

#include "runtime/frames.h"

/* Frames as 3.13 has them.  With other headers there is nothing here. */
#if PY_VERSION_HEX >= 0x030D0000 && PY_VERSION_HEX < 0x030E0000
#define STAND_IN_FITS 1

#define CODE_UNITS 256
#define UNITS_PER_LINE 8
#define MAX_DEPTH 200

enum {
    RAW = PYMEM_DOMAIN_RAW,
    MEM = PYMEM_DOMAIN_MEM,
    OBJ = PYMEM_DOMAIN_OBJ,
};

/* The allocators as an application sees them: with the hooks on top. */
extern PyMemAllocatorEx allocators[3];

#define STACKS 3

/* A thread of the interpreter, with stacks of frames between which it switches, as greenlets do. */
struct stand_in {
    PyThreadState tstate;
    struct stand_in_stack {
        tm_frame frames[MAX_DEPTH];
        int depth;
    } stacks[STACKS];
    struct stand_in_stack *stack;
};

void stand_in_enter(struct stand_in *thread);
/* With a GIL: takes it and lets it go.  Without: does nothing but attach. */
void stand_in_attach(struct stand_in *thread);
void stand_in_detach(void);

/* A code object whose block comes through the hooks; its lines begin with `line`, one for each UNITS_PER_LINE. */
PyCodeObject *stand_in_code(const char *filename, const char *name, int line);
void stand_in_drop(PyCodeObject *code);

void stand_in_push(struct stand_in *thread, PyCodeObject *code);
void stand_in_pop(struct stand_in *thread);
void stand_in_switch(struct stand_in *thread, int stack);
/* Moves frame i (0: the oldest) to a line of its code. */
void stand_in_go(struct stand_in *thread, int i, int line);

#endif
#endif
