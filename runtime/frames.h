/* SPDX-License-Identifier: MIT */
/*
 * The interpreter's frames, read as bytes from inside an allocator hook.  One file per family of CPython versions; each
 * gives, without a call into CPython, without a reference count and without the GIL:
 *
 *   tm_frame                       the interpreter's own frame struct
 *   tm_frame_newest(tstate)        NULL: no Python code runs in this thread
 *   tm_frame_older(frame)          NULL: that was the outermost one
 *   tm_frame_instruction(frame)    a number that changes whenever the frame's code or position changes; to be compared
 *   tm_frame_code(frame)           PyCodeObject *, or NULL: not a frame that a traceback shows (entry frames of the C
 *                                  stack, frames that are still being built)
 *   tm_frame_is_unsteady(frame)    whether the code is shown may change while the instruction does not
 *   tm_frame_stays_hidden(frame, &block)  whether no traceback ever shows a frame at this instruction, as long as the
 *                                  block lives that holds it (0: for ever)
 *   tm_frame_offset(code, instr)   position in the code, in code units (3.8, 3.9: bytes); -1: before its first
 *   tm_code_units(code)            how many positions there are
 *
 * and, with TM_FRAMES_CAN_BE_SEALED, for seals.h:
 *
 *   tm_frame_free_place(frame, callee)    3.11+: the place behind the end of a frame's value stack, if it waits for this
 *                                         callee in an instruction that has taken an operand from there; otherwise NULL
 *   tm_frame_mark(frame)                  before 3.11 (TM_FRAMES_CAN_BE_MARKED): leaves a mark, TM_FRAME_MARK, that is there
 *                                         as long as the call lasts that the frame is of; false: this frame cannot have one
 *   tm_frame_stamp(frame)                 before 3.14 (TM_FRAMES_CAN_BE_STAMPED): where a stamp stands, or the mark
 *   tm_frame_runs(frame)                  3.11 - 3.13: see below
 *
 * Walking one's own frames is safe while detached from the interpreter: only the thread itself pushes and pops them
 * (python/cpython gh-155725 relies on the same).
 */
#ifndef TM_FRAMES_H
#define TM_FRAMES_H

#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1 /* the frame structs stand in CPython's internal headers, which every -dev package ships */
#endif
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

#if PY_VERSION_HEX >= 0x030D0000
#include "frames_313.h"
#elif PY_VERSION_HEX >= 0x030B0000
#include "frames_311.h"
#elif PY_VERSION_HEX >= 0x03080000
#include "frames_308.h"
#else
#error "tm needs CPython 3.8 or newer"
#endif

#if PY_VERSION_HEX >= 0x030D0000
#define TM_TSTATE_ACCESSOR PyThreadState_GetUnchecked
#else
#define TM_TSTATE_ACCESSOR _PyThreadState_UncheckedGet
#endif

#if defined(TM_FRAMES_CAN_BE_SEALED) && PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030E0000
/* A frame that runs, or waits for C, has a stacktop of -1; any other number below 0 would do ("having stacktop <= 0 ensures that
 * invalid values are not visible to the cycle GC", pycore_frame.h; frameobject.c asks whether it is 0).  What ends that writes
 * another one: a call of a Python function in the same loop, a yield, a return, a call of a trace function. */
#define TM_FRAMES_CAN_BE_STAMPED 1
_Static_assert(offsetof(tm_frame, stacktop) % sizeof(uint64_t) == 0,
               "a seal is 8 bytes, and may be a stamp and what follows it");

static inline int32_t tm_frame_stamp(const tm_frame *frame)
{
    return frame->stacktop;
}

static inline bool tm_frame_runs(const tm_frame *frame)
{
    return frame->stacktop < 0;
}
#endif

/* Frozen into the interpreter's static data; before 3.12 that cannot be told. */
static inline bool tm_code_never_dies(PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030C0000
    return _Py_IsImmortal((PyObject *)code);
#else
    (void)code;
    return false;
#endif
}

/* The state of the calling thread while it holds its GIL (3.12+: NULL when it does not). */
static inline PyThreadState *tm_tstate_attached(void)
{
    return TM_TSTATE_ACCESSOR();
}

#endif
