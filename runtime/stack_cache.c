/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "stack_cache.h"

#define STALE_FRAME ((void *)1)
/* Frames beyond the limit that a fresh ring takes in, so that returns do not soon reach its bottom. */
#define SLACK 64
#define MINIMUM_ENTRIES 256

static uint32_t hint_of(const void *frame)
{
    uintptr_t address = (uintptr_t)frame;
    return (address >> 4 ^ address >> 12) % TM_HINTS;
}

/* The frame's entry in the ring; 0: none is known.  The entry may be a left-over. */
static uint32_t locate(const struct tm_thread *thread, const void *frame)
{
    const uint32_t near[] = {thread->top, thread->top + 1, thread->top - 1, thread->hint[hint_of(frame)]};
    for (int i = 0; i < 4; i++)
        if (near[i] >= thread->bottom && near[i] - thread->bottom < thread->mask &&
            thread->frame[near[i] & thread->mask] == frame)
            return near[i];
    return 0;
}

/* The stack that a frame which tracebacks show makes on top of `parent`. */
static uint32_t derive(struct tm_thread *thread, uint32_t parent, PyCodeObject *code, tm_frame *frame)
{
    uintptr_t instruction = tm_frame_instruction(frame);
    struct tm_edge *edge = tm_edge_of(thread, parent, instruction);
    if (edge->instruction == instruction && edge->parent == parent)
        return edge->stack;

    uint32_t start = tm_code_start(code);
    uint32_t position = start ? start + (uint32_t)tm_frame_offset(code, instruction) : 0;
    uint32_t stack = position ? tm_intern_lookup(parent, position) : TM_STACK_NONE;
    if (!stack)
        stack = tm_intern_stack(parent, position, code, instruction, frame);
    if (stack && start) /* without a registered code nobody would tell that the instruction is gone */
        *edge = (struct tm_edge){.instruction = instruction, .parent = parent, .stack = stack};
    return stack;
}

/* Writes entry i for a frame, on top of entry i - 1.  False: no memory. */
static bool place(struct tm_thread *thread, uint32_t i, tm_frame *frame)
{
    uint32_t mask = thread->mask;
    if (i - thread->bottom >= mask) { /* the ring is full: give up its oldest entry */
        thread->bottom = i - mask + 1;
        thread->frame[(thread->bottom - 1) & mask] = STALE_FRAME;
    }
    const struct tm_cached_frame *below = &thread->rest[(i - 1) & mask];
    struct tm_cached_frame *entry = &thread->rest[i & mask];
    uint32_t parent = i == thread->bottom ? TM_STACK_NONE : thread->stack[(i - 1) & mask];
    uintptr_t instruction = tm_frame_instruction(frame);
    PyCodeObject *code = tm_frame_code(frame);

    if (thread->frame[i & mask] != frame || thread->instruction[i & mask] != instruction || entry->parent != parent ||
        !thread->stack[i & mask]) {
        uint32_t stack = code ? derive(thread, parent, code, frame) : parent;
        if (code && !stack)
            return false;
        thread->frame[i & mask] = frame;
        thread->instruction[i & mask] = instruction;
        thread->stack[i & mask] = stack;
        entry->parent = parent;
    }
    thread->hint[hint_of(frame)] = i;
    entry->frames = below->frames + (code != NULL);
    uint32_t floor = i == thread->bottom ? i - 1 : below->floor;
    if ((int32_t)(floor - (thread->bottom - 1)) < 0)
        floor = thread->bottom - 1;
    while (floor + 1 != i && entry->frames - thread->rest[(floor + 1) & mask].frames >= tm_runtime.frame_limit)
        floor++;
    entry->floor = floor;
    return true;
}

/* Forgets the ring: the next entry is its bottom. */
static void begin(struct tm_thread *thread, void *below)
{
    memset(thread->frame, 0, (thread->mask + 1) * sizeof(thread->frame[0])); /* left-overs belong to another ring */
    thread->bottom = 2;
    thread->top = thread->valid = 1;
    thread->frame[1] = below;
    thread->rest[1] = (struct tm_cached_frame){.floor = 1};
    thread->stack[1] = TM_STACK_NONE;
}

/*
 * Verifies from entry `from`, whose frame is known to be on the stack, until `*need` more shown frames are confirmed.
 * Returns the lowest entry whose stack has to be derived anew (from + 1: none).  Where the links or the ring end too
 * early, *broken is the entry whose frame's link leads out of the ring.
 */
static uint32_t verify(const struct tm_thread *thread, uint32_t from, uint32_t *need, uint32_t *broken)
{
    uint32_t mask = thread->mask;
    uint32_t changed = from + 1;

    *broken = 0;
    for (uint32_t i = from;; i--) {
        const tm_frame *frame = thread->frame[i & mask];
        if (i > thread->valid || tm_frame_instruction(frame) != thread->instruction[i & mask])
            changed = i; /* a left-over costs little to place again: see place() */
        if (tm_frame_code(frame) && !--*need)
            return changed;
        void *older = tm_frame_older(frame);
        if (older != thread->frame[(i - 1) & mask]) {
            *broken = i;
            return changed;
        }
        if (i == thread->bottom)
            return changed; /* the link is NULL, as the sentinel's frame: the whole stack is confirmed */
    }
}

/* Builds entries above `at` from pending frames (newest first) and makes the newest one the top. */
static uint32_t build(struct tm_thread *thread, uint32_t at, uint32_t pending)
{
    uint32_t last = at;
    while (pending--) {
        if (!place(thread, last + 1, thread->pending[pending])) {
            thread->epoch = tm_runtime.epoch - 1; /* start over next time */
            return TM_STACK_NONE;
        }
        last++;
    }
    thread->top = last;
    return thread->stack[last & thread->mask];
}

uint32_t tm_stack_resolve(struct tm_thread *thread, tm_frame *newest)
{
    if (thread->epoch != tm_runtime.epoch && !tm_thread_reset_cache(thread))
        return TM_STACK_NONE;
    if (tm_runtime.frame_limit == 1)
        return tm_stack_resolve_single(thread, newest);

    uint32_t mask = thread->mask;
    uint32_t need = tm_runtime.frame_limit;
    uint32_t pending = 0;
    uint32_t room = mask - 1;
    tm_frame *frame = newest;

    /* Outwards until a frame is met from which the ring confirms all the rest. */
    while (frame && need && pending < room) {
        uint32_t entry = locate(thread, frame);
        if (entry) {
            uint32_t still_needed = need;
            uint32_t broken;
            uint32_t changed = verify(thread, entry, &still_needed, &broken);
            if (!broken) {
                for (uint32_t i = changed; i <= entry; i++) {
                    if (!place(thread, i, thread->frame[i & mask])) {
                        thread->epoch = tm_runtime.epoch - 1;
                        return TM_STACK_NONE;
                    }
                }
                bool moved = changed <= entry || pending;
                uint32_t stack = build(thread, entry, pending);
                if (moved || thread->top > thread->valid)
                    thread->valid = thread->top;
                return stack ? stack : TM_STACK_UNKNOWN;
            }
            for (; entry >= broken && pending < room; entry--)
                thread->pending[pending++] = thread->frame[entry & mask];
            frame = tm_frame_older(thread->pending[pending - 1]);
            need = still_needed;
            continue;
        }
        thread->pending[pending++] = frame;
        need -= tm_frame_code(frame) != NULL;
        frame = tm_frame_older(frame);
    }
    /* A fresh ring, with some frames more than needed. */
    for (int slack = 0; frame && slack < SLACK && pending < room; slack++) {
        thread->pending[pending++] = frame;
        frame = tm_frame_older(frame);
    }
    begin(thread, frame ? STALE_FRAME : NULL);
    uint32_t stack = build(thread, 1, pending);
    thread->valid = thread->top;
    /* Nothing but hidden frames: no Python code. */
    return stack || thread->epoch != tm_runtime.epoch ? stack : TM_STACK_UNKNOWN;
}

uint32_t tm_stack_resolve_single(struct tm_thread *thread, tm_frame *newest)
{
    for (tm_frame *frame = newest; frame; frame = tm_frame_older(frame)) {
        PyCodeObject *code = tm_frame_code(frame);
        if (code)
            return derive(thread, TM_STACK_NONE, code, frame);
    }
    return TM_STACK_UNKNOWN;
}

bool tm_thread_reset_cache(struct tm_thread *thread)
{
    uint32_t entries = MINIMUM_ENTRIES;
    while (entries < tm_runtime.frame_limit + 2 * SLACK)
        entries *= 2;
    if (thread->mask + 1 != entries) {
        size_t bytes = entries * (2 * sizeof(void *) + sizeof(uintptr_t) + sizeof(uint32_t) +
                                  sizeof(struct tm_cached_frame));
        char *memory = tm_arena_private(bytes);
        if (!memory)
            return false;
        if (thread->frame)
            tm_arena_release_private(thread->frame, thread->cache_bytes);
        thread->cache_bytes = bytes;
        thread->frame = (void **)memory;
        thread->pending = thread->frame + entries;
        thread->instruction = (uintptr_t *)(thread->pending + entries);
        thread->stack = (uint32_t *)(thread->instruction + entries);
        thread->rest = (struct tm_cached_frame *)(thread->stack + entries);
        thread->mask = entries - 1;
    }
    memset(thread->edges, 0, sizeof(thread->edges));
    memset(thread->hint, 0, sizeof(thread->hint));
    thread->epoch = tm_runtime.epoch;
    begin(thread, STALE_FRAME);
    return true;
}
