/* SPDX-License-Identifier: MIT */
/* CPython 3.13 - 3.15: _PyInterpreterFrame, linked from tstate->current_frame by `previous`
 * (3.13 Include/internal/pycore_frame.h, 3.14+ pycore_interpframe_structs.h). */
#if PY_VERSION_HEX >= 0x030E0000
#include <internal/pycore_interpframe_structs.h>
#include <internal/pycore_code.h>
#else
#include <internal/pycore_frame.h>
#endif

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

/* First instruction of the copy of the bytecode that this frame runs. */
static inline uintptr_t tm_code_first_instruction(const PyCodeObject *code)
{
    return (uintptr_t)code->co_code_adaptive;
}

static inline PyCodeObject *tm_frame_code(const tm_frame *frame)
{
#if PY_VERSION_HEX >= 0x030E0000
    /* FRAME_OWNED_BY_INTERPRETER, FRAME_OWNED_BY_CSTACK: not Python functions. */
    if (frame->owner >= FRAME_OWNED_BY_INTERPRETER)
        return NULL;
    PyCodeObject *code = (PyCodeObject *)(frame->f_executable.bits & ~(uintptr_t)3);
#else
    if (frame->owner == FRAME_OWNED_BY_CSTACK)
        return NULL;
    PyCodeObject *code = (PyCodeObject *)frame->f_executable;
#endif
    /* f_executable may be None or another object (3.13+). */
    if (!code || Py_TYPE(code) != &PyCode_Type)
        return NULL;
#ifdef Py_GIL_DISABLED
    return code; /* each thread runs its own copy of the bytecode: incomplete frames are told by their offset, below 0 */
#else
    if (frame->owner != FRAME_OWNED_BY_GENERATOR &&
        (uintptr_t)frame->instr_ptr <
            tm_code_first_instruction(code) + (uintptr_t)code->_co_firsttraceable * sizeof(_Py_CODEUNIT))
        return NULL;
    return code;
#endif
}

static inline intptr_t tm_frame_offset(const PyCodeObject *code, uintptr_t instruction)
{
#if defined(Py_GIL_DISABLED) && PY_VERSION_HEX >= 0x030E0000
    /* PEP 703 builds since 3.14: co_tlbc holds one copy of the bytecode per thread. */
    const _PyCodeArray *copies = code->co_tlbc;
    for (Py_ssize_t i = 0; copies && i < copies->size; i++) {
        uintptr_t first = (uintptr_t)copies->entries[i];
        if (first && instruction >= first && instruction < first + (uintptr_t)Py_SIZE(code) * sizeof(_Py_CODEUNIT))
            return (intptr_t)(instruction - first) / (intptr_t)sizeof(_Py_CODEUNIT);
    }
#endif
    return (intptr_t)(instruction - tm_code_first_instruction(code)) / (intptr_t)sizeof(_Py_CODEUNIT);
}

static inline size_t tm_code_units(const PyCodeObject *code)
{
    return (size_t)Py_SIZE(code);
}
