/* SPDX-License-Identifier: MIT */
/* CPython 3.11 and 3.12: _PyInterpreterFrame, linked from tstate->cframe->current_frame by `previous`
 * (Include/internal/pycore_frame.h). */
#include <internal/pycore_code.h>
#include <internal/pycore_frame.h>
#include <opcode.h>

typedef _PyInterpreterFrame tm_frame;

static inline tm_frame *tm_frame_newest(const PyThreadState *tstate)
{
#if PY_VERSION_HEX < 0x030C0000
    if (!tstate->cframe)
        return NULL; /* a thread that is just starting */
#endif
    return tstate->cframe->current_frame;
}

static inline tm_frame *tm_frame_older(const tm_frame *frame)
{
    return frame->previous;
}

static inline uintptr_t tm_frame_instruction(const tm_frame *frame)
{
    return (uintptr_t)frame->prev_instr;
}

static inline bool tm_frame_is_before_first_traceable(const tm_frame *frame)
{
    const PyCodeObject *code = frame->f_code;
    return (uintptr_t)frame->prev_instr < (uintptr_t)(_PyCode_CODE(code) + code->_co_firsttraceable);
}

static inline bool tm_frame_is_of_c_stack(const tm_frame *frame)
{
#if PY_VERSION_HEX >= 0x030C0000
    /* 3.12's entry frames of the C stack: their code is a trampoline. */
    return frame->owner == FRAME_OWNED_BY_CSTACK;
#else
    (void)frame;
    return false;
#endif
}

static inline PyCodeObject *tm_frame_code(const tm_frame *frame)
{
    if (tm_frame_is_of_c_stack(frame))
        return NULL;
    /* gh-96612: a frame that is not complete yet has no line.  _PyFrame_IsIncomplete, spelt out. */
    if (frame->owner != FRAME_OWNED_BY_GENERATOR && tm_frame_is_before_first_traceable(frame))
        return NULL;
    return frame->f_code;
}

/* A generator's first instructions are run by a frame that makes the generator, and is not shown, and count as the
 * generator's own until it is started. */
static inline bool tm_frame_is_unsteady(const tm_frame *frame)
{
    return !tm_frame_is_of_c_stack(frame) && tm_frame_is_before_first_traceable(frame);
}

/* The trampoline is a code object of the interpreter's (interp->interpreter_trampoline). */
static inline bool tm_frame_stays_hidden(const tm_frame *frame, uintptr_t *block)
{
    *block = (uintptr_t)frame->f_code;
    return tm_frame_is_of_c_stack(frame);
}

static inline intptr_t tm_frame_offset(const PyCodeObject *code, uintptr_t instruction)
{
    return (intptr_t)(instruction - (uintptr_t)code->co_code_adaptive) / (intptr_t)sizeof(_Py_CODEUNIT);
}

static inline size_t tm_code_units(const PyCodeObject *code)
{
    return (size_t)Py_SIZE(code);
}

#define TM_FRAMES_CAN_BE_SEALED 1

static inline uint64_t *tm_frame_free_place(tm_frame *frame, const tm_frame *callee)
{
    const PyCodeObject *code = frame->f_code;
    int bottom = code->co_nlocalsplus;
#if PY_VERSION_HEX >= 0x030C0000
    /* `prev_instr` is the last cache entry of the instruction; SEND has one. */
    uint8_t opcode = frame->prev_instr[-INLINE_CACHE_ENTRIES_SEND].op.code;
    bool sends = opcode == SEND || opcode == SEND_GEN;
    /* Who sends keeps the receiver on the stack. */
    sends = sends && frame->stacktop > bottom;
    bool waits = callee->owner == FRAME_OWNED_BY_THREAD || (callee->owner == FRAME_OWNED_BY_GENERATOR && sends);
#else
    bool waits = callee->owner == FRAME_OWNED_BY_THREAD && !callee->is_entry;
#endif
    /* A frame that runs, or waits for C, has -1 from 3.12 on (_PyFrame_GetStackPointer): also one that greenlet has linked to a
     * callee past the frame of the C call between them. */
    bool sound = frame->stacktop >= bottom && frame->stacktop < bottom + code->co_stacksize;
    return waits && sound ? (uint64_t *)&frame->localsplus[frame->stacktop] : NULL;
}
