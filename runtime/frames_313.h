/* SPDX-License-Identifier: MIT */
/* CPython 3.13 - 3.15: _PyInterpreterFrame, linked from tstate->current_frame by `previous`
 * (3.13 Include/internal/pycore_frame.h, 3.14+ pycore_interpframe_structs.h). */
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe_structs.h>
#include <internal/pycore_code.h>
#else
#include <internal/pycore_frame.h>
#endif
#include <opcode_ids.h>

typedef struct _PyInterpreterFrame tm_frame;

static inline tm_frame *tm_frame_newest(const PyThreadState *tstate)
{
    return tstate->current_frame;
}

static inline tm_frame *tm_frame_older(const tm_frame *frame)
{
    return frame->previous;
}

static inline uintptr_t tm_frame_instruction(const tm_frame *frame)
{
    return (uintptr_t)frame->instr_ptr;
}

#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
/* Free-threaded builds: each thread runs a copy of the bytecode of its own (bytecode.c). */
#define TM_COPIES_OF_BYTECODE 1

/* First instruction of the copy that has this one; 0: none is known to have it. */
uintptr_t tm_bytecode_with(const PyCodeObject *code, uintptr_t instruction);
#else
static inline uintptr_t tm_bytecode_with(const PyCodeObject *code, uintptr_t instruction)
{
    (void)instruction;
    return (uintptr_t)code->co_code_adaptive;
}
#endif

/* Not a Python function: FRAME_OWNED_BY_INTERPRETER (3.14+), FRAME_OWNED_BY_CSTACK. */
static inline bool tm_frame_is_of_interpreter(const tm_frame *frame)
{
#if PY_VERSION_HEX >= 0x030E0000
    return frame->owner >= FRAME_OWNED_BY_INTERPRETER;
#else
    return frame->owner == FRAME_OWNED_BY_CSTACK;
#endif
}

/* The Python function that a frame belongs to, complete or not; NULL: none. */
static inline PyCodeObject *tm_frame_function(const tm_frame *frame)
{
#if PY_VERSION_HEX >= 0x030E0000
    PyCodeObject *code = (PyCodeObject *)(frame->f_executable.bits & ~(uintptr_t)3);
#else
    PyCodeObject *code = (PyCodeObject *)frame->f_executable;
#endif
    if (tm_frame_is_of_interpreter(frame))
        return NULL;
    /* f_executable may be None or another object (3.13+). */
    return code && Py_TYPE(code) == &PyCode_Type ? code : NULL;
}

static inline bool tm_frame_is_before_first_traceable(const tm_frame *frame, const PyCodeObject *code)
{
    uintptr_t instruction = (uintptr_t)frame->instr_ptr;
    return instruction <
           tm_bytecode_with(code, instruction) + (uintptr_t)code->_co_firsttraceable * sizeof(_Py_CODEUNIT);
}

static inline PyCodeObject *tm_frame_code(const tm_frame *frame)
{
    PyCodeObject *code = tm_frame_function(frame);
    /* _PyFrame_IsIncomplete, spelt out. */
    if (code && frame->owner != FRAME_OWNED_BY_GENERATOR && tm_frame_is_before_first_traceable(frame, code))
        return NULL;
    return code;
}

/* A generator's first instructions are run by a frame that makes the generator, and is not shown, and count as the
 * generator's own until it is started. */
static inline bool tm_frame_is_unsteady(const tm_frame *frame)
{
    const PyCodeObject *code = tm_frame_function(frame);
    return code && tm_frame_is_before_first_traceable(frame, code);
}

/* The instructions of the trampoline are static data (_Py_INTERPRETER_TRAMPOLINE_INSTRUCTIONS, Python/ceval.c); 3.15's
 * base_frame has none. */
static inline bool tm_frame_stays_hidden(const tm_frame *frame, uintptr_t *block)
{
    *block = 0;
    return tm_frame_is_of_interpreter(frame) && frame->instr_ptr;
}

static inline intptr_t tm_frame_offset(const PyCodeObject *code, uintptr_t instruction)
{
    uintptr_t first = tm_bytecode_with(code, instruction);
    return first ? (intptr_t)(instruction - first) / (intptr_t)sizeof(_Py_CODEUNIT) : -1;
}

static inline size_t tm_code_units(const PyCodeObject *code)
{
    return (size_t)Py_SIZE(code);
}

#ifndef Py_GIL_DISABLED
#define TM_FRAMES_CAN_BE_SEALED 1

static inline uint64_t *tm_frame_free_place(tm_frame *frame, const tm_frame *callee)
{
    const PyCodeObject *code = tm_frame_function(frame);
    if (!code)
        return NULL;
    uint8_t opcode = frame->instr_ptr->op.code;
    bool sends = opcode == SEND || opcode == SEND_GEN;
    bool waits = callee->owner == FRAME_OWNED_BY_THREAD || (callee->owner == FRAME_OWNED_BY_GENERATOR && sends);
#if PY_VERSION_HEX >= 0x030E0000
    uintptr_t top = frame->stackpointer ? (uintptr_t)frame->stackpointer : 0;
#else
    uintptr_t top = frame->stacktop > 0 ? (uintptr_t)&frame->localsplus[frame->stacktop] : 0;
#endif
    uintptr_t bottom = (uintptr_t)&frame->localsplus[code->co_nlocalsplus];
    bool sound = top >= bottom && top < bottom + (uintptr_t)code->co_stacksize * sizeof(frame->localsplus[0]);
    return waits && sound ? (uint64_t *)top : NULL;
}
#endif
