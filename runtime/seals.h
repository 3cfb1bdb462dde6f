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
 * A frame that runs, or waits for C, does not say where its stack ends: up to 3.13 it has a -1 instead.  There we write another
 * negative number, used once: a stamp.  It is gone when the frame ceases to: when it calls a Python function, yields, returns.
 * So as long as it is there, all callers have waited, at whatever instruction the frame is now.  The newest frame gets a
 * stamp whenever its stack was found; then the next allocations ask for nothing else.
 *
 * Before 3.11 each call is a C call, and frames do not say where their stacks end.  But each call of a function has a frame
 * object that is its own until it returns, and one of whose fields is never asked whether it is 1 or 2.  So the seal of a
 * waiting frame is a mark in the frame that it waits for: as long as it is there, this is the same call.  In the newest frame
 * the mark is its stamp, too.
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

/* That of an entry whose frame has none. */
#define TM_NO_STAMP INT32_MAX

/* Does the interpreter keep its frames up to date? */
extern bool tm_seals_allowed TM_HIDDEN;

#ifdef TM_CHECK_SEALS
/* For tests: looks at all that a seal proves, and aborts if it is not so. */
void tm_seals_check(const struct tm_thread *thread, const struct tm_cached_frame *entry, uint32_t floor);
void tm_seals_check_newest(const struct tm_thread *thread, const struct tm_cached_frame *newest);
#endif

#ifdef TM_FRAMES_CAN_BE_SEALED
/* Of a frame that was sealed, at the same instruction; the entry above is that of the frame it waits for. */
static TM_ALWAYS_INLINE bool tm_seal_is_intact(const struct tm_cached_frame *entry)
{
#ifdef TM_FRAMES_CAN_BE_MARKED
    return tm_frame_stamp(entry[1].frame) == TM_FRAME_MARK;
#else
    return *(const uint64_t *)((const char *)entry->frame + entry->seal_offset) == entry->seal;
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

#ifdef TM_FRAMES_CAN_BE_STAMPED
/* Of an entry whose frame is on the stack. */
static TM_ALWAYS_INLINE bool tm_stamp_is_intact(const struct tm_cached_frame *entry)
{
    return tm_frame_stamp(entry->frame) == entry->stamp;
}
#endif

#if defined(TM_FRAMES_CAN_BE_STAMPED) && !defined(TM_FRAMES_CAN_BE_MARKED)
/* Stamps the frame of an entry, which runs.  Each number below 0 but -1 is given once (and again after 2^30 others). */
static TM_ALWAYS_INLINE void tm_seal_stamp(struct tm_thread *thread, struct tm_cached_frame *entry)
{
    thread->last_stamp += 2;
    entry->stamp = ((tm_frame *)entry->frame)->stacktop = (int32_t)(thread->last_stamp | UINT32_C(1) << 31);
}
#endif

/* Below the newest entry everything is known to be right: this stays proven as long as it can be seen that it is so. */
static TM_ALWAYS_INLINE void tm_seal_newest(struct tm_thread *thread, struct tm_cached_frame *newest)
{
#if defined(TM_FRAMES_CAN_BE_MARKED)
    newest->stamp = TM_NO_STAMP;
    if (TM_LIKELY(tm_seals_allowed) && TM_LIKELY(tm_frame_mark(newest->frame))) {
        newest->stamp = TM_FRAME_MARK;
        /* The same mark is the caller's seal; the outermost frame has none. */
        if (newest != &thread->cache[TM_CACHE_BOTTOM])
            newest[-1].proven = newest->floor;
    }
#elif defined(TM_FRAMES_CAN_BE_STAMPED)
    newest->stamp = TM_NO_STAMP;
    if (TM_LIKELY(tm_frame_runs(newest->frame)) && TM_LIKELY(tm_seals_allowed))
        tm_seal_stamp(thread, newest);
#else
    (void)thread, (void)newest;
#endif
}

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

/*
 * Is everything right below the newest entry, whose frame is the newest one?  From 3.11 on a stamp says so even while a trace
 * function runs: nothing is stamped then, and a frame that was stamped before has lost it when its trace function is called for
 * a new line, the only time when that may make it jump.
 */
static TM_ALWAYS_INLINE bool tm_newest_is_proven(const struct tm_thread *thread, const PyThreadState *tstate,
                                                 const struct tm_cached_frame *newest)
{
#ifdef TM_FRAMES_CAN_BE_STAMPED
    bool proven = TM_LIKELY(tm_stamp_is_intact(newest));
#ifdef TM_FRAMES_CAN_BE_MARKED
    proven = TM_LIKELY(tm_seals_hold(tstate)) && proven;
#endif
#ifdef TM_CHECK_SEALS
    if (proven)
        tm_seals_check_newest(thread, newest);
#endif
    (void)thread, (void)tstate;
    return proven;
#else
    return TM_LIKELY(tm_seals_hold(tstate)) && TM_LIKELY((void *)tm_frame_older(newest->frame) == newest[-1].frame) &&
           tm_seal_proves(thread, &newest[-1], newest->floor);
#endif
}

/* seals.c: entries `lowest` to `highest` are on the stack, unchanged, and were looked at one by one; everything below them
 * is known to be right down to the link to the entry `floor`.  Seals them, if such work has been done often enough. */
void tm_seals_set(struct tm_thread *thread, struct tm_cached_frame *lowest, struct tm_cached_frame *highest,
                  uint32_t floor);
/* Asked once, at the start. */
void tm_seals_configure(void);
/* None of the thread's entries proves anything any more. */
void tm_seals_forget(struct tm_thread *thread);

#endif
