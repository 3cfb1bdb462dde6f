/* SPDX-License-Identifier: MIT */
/*
 * Seals: the proof that a frame has not run since, and so none of its callers has.
 *
 * From CPython 3.11 on a Python function is called without a C call in between.  The caller's frame then says where its
 * value stack ends, and the place behind that end is nobody's: there lay the first operand of the call, and there the
 * result will be put.  We write a number there that no value can have, used once: the seal.
 *
 *   - The callee returns, or yields: its result is written over the seal.
 *   - It raises: nothing is written, but whenever this frame, or the next one that lies here, waits at the same
 *     instruction again, it has pushed the operand of that instruction there before (the depth of the stack is a property
 *     of the instruction).
 *
 * So where the instruction is the same and the seal intact, the frame has waited for this one call all the time, and what
 * was known of its callers when the seal was set is still true.  Verifying a stack ends there, after two or three frames
 * instead of all that a traceback shows.
 *
 * Before 3.11 each call is a C call, and frames do not say where their stacks end.  But each call of a function has a frame
 * object that is its own until it returns, and one of whose fields is never asked whether it is 1 or 2.  So the seal of a
 * waiting frame is a mark in the frame that it waits for: as long as it is there, this is the same call.
 *
 * Waiting frames have one way to change nevertheless: a debugger's jump, the assignment to frame.f_lineno, which CPython
 * allows to trace functions only.  So while a trace function runs, seals count for nothing.
 *
 * Only instructions that take an operand off the stack will do: a frame that waits for a generator is sealed if it sends
 * (await, yield from; from 3.12 on), not if it iterates (FOR_ITER leaves its iterator where it is).  Nothing is sealed
 *
 *   - in builds without the GIL, whose collector visits the free places, too (3.13's and 3.14's _PyFrame_Initialize says so);
 *   - where the JIT may be on (3.13 and newer, only if CPython was configured with one): it keeps values in registers.
 */
#ifndef TM_SEALS_H
#define TM_SEALS_H

#include "frames.h"
#include "runtime.h"

/* What an entry without a seal proves. */
#define TM_PROVES_NOTHING UINT32_MAX

#ifdef TM_CHECK_SEALS
/* For tests: looks at all that a seal proves, and aborts if it is not so. */
void tm_seals_check(const struct tm_thread *thread, const struct tm_cached_frame *entry, uint32_t floor);
#endif

#ifdef TM_FRAMES_CAN_BE_SEALED
/* Of a frame that was sealed, at the same instruction; the entry above is that of the frame it waits for. */
static TM_ALWAYS_INLINE bool tm_seal_is_intact(const struct tm_cached_frame *entry)
{
#ifdef TM_FRAMES_CAN_BE_MARKED
    return tm_frame_is_marked(entry[1].frame);
#else
    return *entry->seal_place == entry->seal;
#endif
}
#endif

/* Is an entry, whose frame is on the stack and waits for that of the entry above, unchanged, with a seal that proves all links
 * down to the entry `floor`? */
static TM_ALWAYS_INLINE bool tm_seal_proves(const struct tm_thread *thread, const struct tm_cached_frame *entry,
                                            uint32_t floor)
{
#ifdef TM_FRAMES_CAN_BE_SEALED
    /* In this order: only in a frame of the same code the place is in the frame. */
    bool proves = TM_LIKELY(entry->proven <= floor) &&
                  TM_LIKELY(tm_frame_instruction(entry->frame) == entry->instruction) &&
                  TM_LIKELY(tm_seal_is_intact(entry));
#ifdef TM_CHECK_SEALS
    if (proves)
        tm_seals_check(thread, entry, floor);
#endif
    (void)thread;
    return proves;
#else
    (void)thread, (void)entry, (void)floor;
    return false;
#endif
}

/* seals.c: entries `lowest` to `highest` are on the stack, unchanged, and were looked at one by one; everything below them
 * is known to be right down to the link to the entry `floor`.  Seals them, if such work has been done often enough. */
void tm_seals_set(struct tm_thread *thread, struct tm_cached_frame *lowest, struct tm_cached_frame *highest,
                  uint32_t floor);
/* Asked once, at the start: does the interpreter push values to where its frames say? */
void tm_seals_configure(void);
/* None of the thread's entries proves anything any more. */
void tm_seals_forget(struct tm_thread *thread);

/* May seals be relied on just now?  Not while a trace function runs. */
static TM_ALWAYS_INLINE bool tm_seals_hold(const PyThreadState *tstate)
{
#ifdef TM_FRAMES_CAN_BE_SEALED
    return !tstate->tracing;
#else
    (void)tstate;
    return true;
#endif
}

#endif
