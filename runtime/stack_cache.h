/* SPDX-License-Identifier: MIT */
/*
 * From the interpreter's frames to a stack's number, without walking them.
 *
 * Each thread keeps its last stack as a ring of entries (frame, instruction, stack up to here), outermost first, and
 * *verifies* it at the next allocation: entry by entry, from the newest down to the oldest that a traceback shows, the
 * frame's link must lead to the next entry's frame and its instruction must be the one remembered.  The addresses come
 * from the ring, so the loads do not wait for one another as those of a walk do; and nothing stale is ever
 * dereferenced, because a pointer is confirmed by the link above before it is followed.
 *
 * Stacks keep the context below the oldest frame shown (stack numbers name whole stacks, a reader cuts them to
 * frame_limit), so a call or a return in a deep stack adds or drops one entry instead of shifting all of them.  What
 * lies below the frames shown is not verified.
 *
 * Entries above `top` are left over from earlier calls.  One of them may be used again if its frame and instruction
 * still fit and it was derived from the stack that now is below it: a call from the same line costs no lookup.
 *
 * The entry at bottom - 1 is a sentinel: its frame is NULL when the ring reaches the thread's outermost frame, and
 * STALE_FRAME, which no link ever equals, when it was cut.
 */
#ifndef TM_STACK_CACHE_H
#define TM_STACK_CACHE_H

#include "frames.h"
#include "runtime.h"

/* stack_cache.c: the same when something changed.  TM_STACK_NONE: no memory. */
uint32_t tm_stack_resolve(struct tm_thread *thread, tm_frame *newest);
uint32_t tm_stack_resolve_single(struct tm_thread *thread, tm_frame *newest);

static TM_ALWAYS_INLINE struct tm_edge *tm_edge_of(struct tm_thread *thread, uint32_t parent, uintptr_t instruction)
{
    uint64_t mixed = ((uint64_t)instruction ^ (uint64_t)parent << 20) * UINT64_C(0x9e3779b97f4a7c15);
    return &thread->edges[mixed >> 56];
}

/* The stack of the calling thread, whose newest frame is given (NULL: no Python code runs). */
static TM_ALWAYS_INLINE uint32_t tm_stack_of(struct tm_thread *thread, tm_frame *newest)
{
    if (TM_UNLIKELY(!newest))
        return TM_STACK_UNKNOWN;
    if (TM_UNLIKELY(thread->epoch != __atomic_load_n(&tm_runtime.epoch, __ATOMIC_RELAXED)))
        return tm_stack_resolve(thread, newest);

    if (tm_runtime.frame_limit == 1) {
        uintptr_t instruction = tm_frame_instruction(newest);
        const struct tm_edge *edge = tm_edge_of(thread, TM_STACK_NONE, instruction);
        return TM_LIKELY(edge->instruction == instruction) ? edge->stack : tm_stack_resolve_single(thread, newest);
    }

    uint32_t mask = thread->mask;
    uint32_t top = thread->top;
    if (TM_UNLIKELY(thread->frame[top & mask] != newest))
        return tm_stack_resolve(thread, newest);
    uint32_t floor = thread->rest[top & mask].floor;
    for (uint32_t i = top; i != floor; i--) {
        const tm_frame *frame = thread->frame[i & mask];
        if (TM_UNLIKELY(tm_frame_instruction(frame) != thread->instruction[i & mask]) ||
            TM_UNLIKELY((void *)tm_frame_older(frame) != thread->frame[(i - 1) & mask]))
            return tm_stack_resolve(thread, newest);
    }
    return thread->stack[top & mask];
}

#endif
