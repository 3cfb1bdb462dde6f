/* SPDX-License-Identifier: MIT */
/*
 * From the interpreter's frames to a stack's number, without walking them.
 *
 * Each thread keeps its last stack as an array of entries (frame, instruction, stack up to here), outermost first, and
 * *verifies* it at the next allocation, unless the newest frame still has its stamp (seals.h): entry by entry, from the newest
 * downwards, the frame's link must lead to the next entry's frame and its instruction must be the one remembered, until a
 * frame is met whose seal proves the rest, or the oldest that a traceback shows.  The addresses come from the array, so the
 * loads do not wait for one another as those of a walk do; and nothing stale is ever dereferenced, because a pointer is
 * confirmed by the link above before it is followed.
 *
 * Each entry has a path: a hash of 96 bits over the locations (file, function, line) from the cache's beginning up to it.
 * Equal paths are taken for equal stacks; that two different ones among ten million agree has a probability below 10^-14.
 * So frames that come and go without allocating cost a multiplication each, and only the newest frame's path is looked up.
 *
 * A stack's number names the whole stack, and a reader cuts it to frame_limit frames: so a call or a return in a deep
 * stack adds or drops one entry instead of shifting all of them.  What lies below the frames shown is not verified.
 *
 * Entry TM_CACHE_BOTTOM - 1 is a sentinel: its frame is NULL when the cache reaches the thread's outermost frame, and
 * TM_STALE_FRAME, which no link ever equals, when it was cut.
 */
#ifndef TM_STACK_CACHE_H
#define TM_STACK_CACHE_H

#include "frames.h"
#include "runtime.h"
#include "seals.h"

/* stack_cache.c: the stack of a thread whose newest frame is given, for a frame_limit above 1.  TM_STACK_NONE: no memory. */
uint32_t tm_stack_verify(struct tm_thread *thread, tm_frame *newest);
/* The same when the newest entry's frame is the newest frame, and everything below it is known to be right. */
uint32_t tm_stack_move(struct tm_thread *thread);
/* The same for anything that the fast ways do not handle, and any frame_limit; no frame: TM_STACK_UNKNOWN. */
uint32_t tm_stack_resolve(struct tm_thread *thread, tm_frame *newest);
/* The same while nothing counts that was proven, and nothing may be left that proves anything. */
uint32_t tm_stack_without_seals(struct tm_thread *thread, tm_frame *newest);

/* Instructions lie side by side, at even addresses: so those of a function have places of their own, which a hash would not
 * promise. */
static TM_ALWAYS_INLINE struct tm_recent_location *tm_recent_location(struct tm_thread *thread, uintptr_t instruction)
{
    return &thread->locations[(instruction >> 1) % (1u << TM_RECENT_LOCATION_BITS)];
}

/*
 * The stack of the calling thread, whose cache is up to date, in two halves.  Is the newest frame still the one of the last
 * call, and everything below it as it was?
 */
static TM_ALWAYS_INLINE bool tm_stack_is_proven(struct tm_thread *thread, const PyThreadState *tstate, tm_frame *newest)
{
    const struct tm_cached_frame *entry = thread->newest; /* with one frame the sentinel, which is nobody's */
    return TM_LIKELY(entry->frame == newest) && TM_LIKELY(tm_newest_is_proven(thread, tstate, entry));
}

/* Then the stack is this one. */
static TM_ALWAYS_INLINE uint32_t tm_stack_proven(struct tm_thread *thread, tm_frame *newest)
{
    const struct tm_cached_frame *entry = thread->newest;
    if (TM_LIKELY(entry->instruction == tm_frame_instruction(newest)) && TM_LIKELY(entry->stack))
        return entry->stack;
    return tm_stack_move(thread);
}

/* Otherwise it is this one. */
static TM_ALWAYS_INLINE uint32_t tm_stack_changed(struct tm_thread *thread, const PyThreadState *tstate,
                                                  tm_frame *newest)
{
    if (TM_UNLIKELY(!newest))
        return TM_STACK_UNKNOWN; /* no Python code runs */
    if (TM_UNLIKELY(!tm_seals_hold(tstate)))
        return tm_stack_without_seals(thread, newest);
    if (tm_runtime.frame_limit != 1)
        return tm_stack_verify(thread, newest);
    /* With one frame there is nothing to verify. */
    uintptr_t instruction = tm_frame_instruction(newest);
    const struct tm_recent_location *recent = tm_recent_location(thread, instruction);
    return TM_LIKELY(recent->instruction == instruction) ? recent->stack : tm_stack_resolve(thread, newest);
}

/* The stack of the calling thread. */
static TM_ALWAYS_INLINE uint32_t tm_stack_of(struct tm_thread *thread, const PyThreadState *tstate)
{
    tm_frame *newest = tm_frame_newest(tstate);
    if (TM_UNLIKELY(thread->epoch != tm_epoch()))
        return tm_seals_hold(tstate) ? tm_stack_resolve(thread, newest) : tm_stack_without_seals(thread, newest);
    if (TM_LIKELY(tm_stack_is_proven(thread, tstate, newest)))
        return tm_stack_proven(thread, newest);
    return tm_stack_changed(thread, tstate, newest);
}

#endif
