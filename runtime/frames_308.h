/* SPDX-License-Identifier: MIT */
/* CPython 3.8 - 3.10: PyFrameObject, linked from tstate->frame by f_back (Include/cpython/frameobject.h; before 3.9
 * Include/frameobject.h). */
#include <frameobject.h>

typedef PyFrameObject tm_frame;

static inline tm_frame *tm_frame_newest(const PyThreadState *tstate)
{
    return tstate->frame;
}

static inline tm_frame *tm_frame_older(const tm_frame *frame)
{
    return frame->f_back;
}

/* f_lasti alone is not enough: a frame object is recycled for another code.  Code objects lie 16 bytes apart at least and
 * hold fewer than 2^21 positions each in any real program. */
static inline uintptr_t tm_frame_instruction(const tm_frame *frame)
{
    return ((uintptr_t)frame->f_code << 17) + (uintptr_t)(intptr_t)frame->f_lasti;
}

static inline PyCodeObject *tm_frame_code(const tm_frame *frame)
{
    return frame->f_code;
}

static inline bool tm_frame_is_unsteady(const tm_frame *frame)
{
    (void)frame;
    return false;
}

static inline bool tm_frame_stays_hidden(const tm_frame *frame, uintptr_t *block)
{
    (void)frame, (void)block;
    return false;
}

static inline intptr_t tm_frame_offset(const PyCodeObject *code, uintptr_t instruction)
{
    return (intptr_t)(instruction - ((uintptr_t)code << 17));
}

static inline size_t tm_code_units(const PyCodeObject *code)
{
    return (size_t)PyBytes_GET_SIZE(code->co_code);
}
