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

#define TM_FRAMES_CAN_BE_SEALED 1
#define TM_FRAMES_CAN_BE_MARKED 1
#define TM_FRAMES_CAN_BE_STAMPED 1

/* f_trace_lines is 1 in each new frame (Objects/frameobject.c, _PyFrame_New_NoTrack), and all that is asked of it is whether
 * it is 0.  A generator's frame lives longer than the call that resumes it. */
#define TM_FRAME_MARK 2

static inline bool tm_frame_mark(tm_frame *frame)
{
    if (frame->f_trace_lines == TM_FRAME_MARK)
        return true;
    if (frame->f_gen || frame->f_trace_lines != 1)
        return false;
    frame->f_trace_lines = TM_FRAME_MARK;
    return true;
}

static inline int32_t tm_frame_stamp(const tm_frame *frame)
{
    return frame->f_trace_lines;
}

static inline size_t tm_code_units(const PyCodeObject *code)
{
    return (size_t)PyBytes_GET_SIZE(code->co_code);
}
