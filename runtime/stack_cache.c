/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "stack_cache.h"

/* Frames beyond the limit that the cache takes in when it is filled, so that returns do not soon reach its bottom. */
#define SLACK 64
#define MINIMUM_CAPACITY 256

static uint32_t hint_of(const void *frame)
{
    uintptr_t address = (uintptr_t)frame;
    return (address >> 4 ^ address >> 12) % TM_HINTS;
}

/* The frame's entry; 0: none is known. */
static uint32_t locate(const struct tm_thread *thread, const void *frame)
{
    uint32_t top = thread->top;
    if (thread->link[top].frame == frame)
        return top;
    uint32_t hint = thread->hint[hint_of(frame)];
    return hint >= TM_CACHE_BOTTOM && hint <= thread->valid && thread->link[hint].frame == frame ? hint : 0;
}

/* The edge's stack; TM_STACK_NONE: it is not in the cache.  Only frames that tracebacks show have edges. */
static TM_ALWAYS_INLINE uint32_t follow_edge(struct tm_thread *thread, uint32_t parent, uintptr_t instruction)
{
    const struct tm_edge *edge = tm_edge_of(thread, parent, instruction);
    return edge->instruction == instruction && edge->parent == parent ? edge->stack : TM_STACK_NONE;
}

/* The stack that a frame which tracebacks show makes on top of `parent`, when no edge is there. */
static TM_NOINLINE uint32_t derive(struct tm_thread *thread, uint32_t parent, PyCodeObject *code, tm_frame *frame)
{
    uintptr_t instruction = tm_frame_instruction(frame);
    bool lasting = true;
    uint32_t stack = tm_intern_find(parent, code, instruction);
    if (!stack) {
        stack = tm_intern_stack(parent, code, instruction, frame, &lasting);
        tm_foreign_calls_redirect();
    }
    if (stack && lasting)
        *tm_edge_of(thread, parent, instruction) =
            (struct tm_edge){.instruction = instruction, .parent = parent, .stack = stack};
    return stack;
}

/*
 * Verifies entries newest .. floor + 1, the first of which is known to be on the stack.  Returns the lowest entry whose
 * instruction changed, newest + 1 if none did, and 0 if the frames are no longer linked like that.
 */
static TM_ALWAYS_INLINE uint32_t verify(const struct tm_thread *thread, uint32_t newest, uint32_t floor)
{
    const struct tm_cached_link *link = &thread->link[newest];
    const struct tm_cached_link *end = &thread->link[floor];
    const struct tm_cached_link *changed = link + 1;
    const tm_frame *frame = link->frame;
#pragma GCC unroll 4
    for (; link != end; link--) {
        void *older = link[-1].frame;
        if (TM_UNLIKELY((void *)tm_frame_older(frame) != older))
            return 0;
        changed = tm_frame_instruction(frame) == link->instruction ? changed : link;
        frame = older;
    }
    return (uint32_t)(changed - thread->link);
}

uint32_t tm_stack_verify(struct tm_thread *thread, tm_frame *newest)
{
    uint32_t top = thread->top;
    const struct tm_cached_link *link = &thread->link[top];
    /* The same function as last time, its caller, or a function that it called before. */
    if (link->frame != newest) {
        if (link[-1].frame == newest)
            top--;
        else if (top < thread->valid && link[1].frame == newest)
            top++;
        else
            return tm_stack_resolve(thread, newest);
    }

    struct tm_cached_stack *entry = &thread->entry[top];
    uint32_t changed = verify(thread, top, entry->floor);
    if (changed > top) {
        thread->top = top;
        return entry->stack;
    }
    if (changed == top && entry->frames != entry[-1].frames) { /* another line of the same function */
        uintptr_t instruction = tm_frame_instruction(newest);
        uint32_t stack = follow_edge(thread, entry->parent, instruction);
        if (TM_LIKELY(stack)) {
            thread->link[top].instruction = instruction;
            thread->top = thread->valid = top;
            return entry->stack = stack;
        }
    }
    return tm_stack_resolve(thread, newest);
}

/* Moves the newest entries to the bottom, so that `at`, one above them all, becomes small.  Returns the new `at`. */
static uint32_t compact(struct tm_thread *thread, uint32_t at)
{
    uint32_t kept = thread->capacity / 2;
    uint32_t shift = at - kept - TM_CACHE_BOTTOM;
    memmove(&thread->link[TM_CACHE_BOTTOM], &thread->link[TM_CACHE_BOTTOM + shift], kept * sizeof(*thread->link));
    memmove(&thread->entry[TM_CACHE_BOTTOM - 1], &thread->entry[TM_CACHE_BOTTOM - 1 + shift],
            (kept + 1) * sizeof(*thread->entry));
    thread->link[TM_CACHE_BOTTOM - 1].frame = TM_STALE_FRAME;
    for (uint32_t i = TM_CACHE_BOTTOM; i < TM_CACHE_BOTTOM + kept; i++) {
        uint32_t floor = thread->entry[i].floor;
        thread->entry[i].floor = floor > shift + TM_CACHE_BOTTOM - 1 ? floor - shift : TM_CACHE_BOTTOM - 1;
    }
    return at - shift;
}

/* Writes entry i for a frame, on top of entry i - 1.  False: no memory. */
static bool place(struct tm_thread *thread, uint32_t i, tm_frame *frame)
{
    const struct tm_cached_stack *below = &thread->entry[i - 1];
    struct tm_cached_stack *entry = &thread->entry[i];
    struct tm_cached_link *link = &thread->link[i];
    uintptr_t instruction = tm_frame_instruction(frame);
    uint32_t parent = below->stack;

    if (link->frame != frame || link->instruction != instruction || entry->parent != parent || i > thread->valid) {
        uint32_t shown = 1;
        uint32_t stack = follow_edge(thread, parent, instruction);
        if (!stack) {
            PyCodeObject *code = tm_frame_code(frame);
            shown = code != NULL;
            stack = code ? derive(thread, parent, code, frame) : parent;
            if (code && !stack)
                return false;
        }
        *link = (struct tm_cached_link){frame, instruction};
        *entry = (struct tm_cached_stack){.stack = stack, .parent = parent, .frames = below->frames + shown};
        thread->hint[hint_of(frame)] = i;
    }
    uint32_t floor = below->floor;
    while (floor + 1 != i && entry->frames - thread->entry[floor + 1].frames >= tm_runtime.frame_limit)
        floor++;
    entry->floor = floor;
    return true;
}

/* Empties the cache; `below` is the frame of its sentinel. */
static void begin(struct tm_thread *thread, void *below)
{
    thread->top = thread->valid = TM_CACHE_BOTTOM - 1;
    thread->link[TM_CACHE_BOTTOM - 1].frame = below;
    thread->entry[TM_CACHE_BOTTOM - 1] = (struct tm_cached_stack){.floor = TM_CACHE_BOTTOM - 1};
}

/*
 * Entries changed..base are derived anew, pending frames (newest first) go on top of them.  TM_STACK_NONE: no memory, or
 * no frame that a traceback would show.
 */
static uint32_t rebuild(struct tm_thread *thread, uint32_t changed, uint32_t base, uint32_t pending)
{
    bool moved = changed <= base || pending;
    uint32_t i = changed;
    for (; i <= base; i++)
        if (!place(thread, i, thread->link[i].frame))
            goto no_memory;
    for (i = base + 1; pending; i++) {
        if (i == thread->capacity) {
            i = compact(thread, i);
            thread->valid = i - 1;
        }
        if (!place(thread, i, thread->pending[--pending]))
            goto no_memory;
    }
    thread->top = i - 1;
    if (moved)
        thread->valid = thread->top;
    return thread->entry[thread->top].stack;

no_memory:
    begin(thread, TM_STALE_FRAME);
    return TM_STACK_NONE;
}

/* With one frame there is nothing to verify: the edges are the cache. */
static uint32_t resolve_single(struct tm_thread *thread, tm_frame *newest)
{
    for (tm_frame *frame = newest; frame; frame = tm_frame_older(frame)) {
        PyCodeObject *code = tm_frame_code(frame);
        if (code)
            return derive(thread, TM_STACK_NONE, code, frame);
    }
    return TM_STACK_UNKNOWN;
}

uint32_t tm_stack_resolve(struct tm_thread *thread, tm_frame *newest)
{
    if (thread->epoch != tm_runtime.epoch && !tm_thread_reset_cache(thread))
        return TM_STACK_NONE;
    if (tm_runtime.frame_limit == 1)
        return resolve_single(thread, newest);

    /* At most every second frame is one that tracebacks hide. */
    uint32_t room = 2 * (tm_runtime.frame_limit + SLACK);
    uint32_t pending = 0;
    tm_frame *frame = newest;

    /* Outwards until a frame is met from which the cache confirms all the rest. */
    while (frame && pending < room) {
        uint32_t base = locate(thread, frame);
        uint32_t changed = base ? verify(thread, base, thread->entry[base].floor) : 0;
        if (changed) {
            uint32_t stack = rebuild(thread, changed, base, pending);
            return stack || thread->top < TM_CACHE_BOTTOM ? stack : TM_STACK_UNKNOWN;
        }
        thread->pending[pending++] = frame;
        frame = tm_frame_older(frame);
    }
    begin(thread, frame ? TM_STALE_FRAME : NULL);
    uint32_t stack = rebuild(thread, TM_CACHE_BOTTOM, TM_CACHE_BOTTOM - 1, pending);
    return stack || thread->top < TM_CACHE_BOTTOM ? stack : TM_STACK_UNKNOWN;
}

bool tm_thread_reset_cache(struct tm_thread *thread)
{
    uint32_t capacity = MINIMUM_CAPACITY;
    while (capacity < 2 * (tm_runtime.frame_limit + SLACK) + TM_CACHE_BOTTOM)
        capacity *= 2;
    if (thread->capacity != capacity) {
        size_t bytes = capacity * (sizeof(*thread->link) + sizeof(*thread->entry) + sizeof(*thread->pending));
        char *memory = tm_arena_private(bytes);
        if (!memory)
            return false;
        if (thread->link)
            tm_arena_release_private(thread->link);
        thread->link = (struct tm_cached_link *)memory;
        thread->entry = (struct tm_cached_stack *)(thread->link + capacity);
        thread->pending = (void **)(thread->entry + capacity);
        thread->capacity = capacity;
    }
    memset(thread->edges, 0, sizeof(thread->edges));
    memset(thread->hint, 0, sizeof(thread->hint));
    thread->epoch = tm_runtime.epoch;
    begin(thread, TM_STALE_FRAME);
    return true;
}
