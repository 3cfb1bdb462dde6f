/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "stack_cache.h"

/* Frames beyond the limit that the cache takes in when it is filled, so that returns do not soon reach its bottom. */
#define SLACK 64
#define MINIMUM_CAPACITY 256

/* What no frame's instruction is.  0 would not do: 3.15's base_frame, the outermost frame of every thread, has it
 * (Python/pystate.c, init_threadstate). */
#define NO_INSTRUCTION 1

/* A location that does not exist: of frames that tracebacks do not show. */
#define HIDDEN UINT32_MAX

/* Called functions that need not be looked for. */
#define QUICK_PENDING 4

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
    return hint >= TM_CACHE_BOTTOM && hint <= top && thread->link[hint].frame == frame ? hint : 0;
}

/* ---- paths and locations ----------------------------------------------------------------------------------------------------- */

/* Multiply and fold (as in wyhash): one multiplication, and every bit of both counts. */
static TM_ALWAYS_INLINE uint64_t path_on(uint64_t below, uint32_t location)
{
    unsigned __int128 product =
        (unsigned __int128)(below ^ UINT64_C(0xa0761d6478bd642f)) * (location ^ UINT64_C(0xe7037ed1a0b428db));
    uint64_t path = (uint64_t)product ^ (uint64_t)(product >> 64);
    return path ? path : 1;
}

static TM_ALWAYS_INLINE uint32_t check_on(uint32_t below, uint32_t location)
{
    return below * UINT32_C(0x9e3779b1) + location;
}

static TM_ALWAYS_INLINE struct tm_recent_stack *recent_stack(struct tm_thread *thread, uint64_t path)
{
    return &thread->stacks[path >> (64 - TM_RECENT_BITS)];
}

/* The location that a frame which tracebacks show stands at; 0: no memory. */
static TM_NOINLINE uint32_t find_location(struct tm_thread *thread, PyCodeObject *code, uintptr_t instruction,
                                          bool steady)
{
    bool lasting;
#ifdef TM_COPIES_OF_BYTECODE
    uintptr_t copy = tm_bytecode_with(code, instruction);
    if (!copy)
        return 0; /* no line rather than a wrong one */
#endif
    uint32_t location = tm_intern_location(code, instruction, &lasting);
#ifdef TM_COPIES_OF_BYTECODE
    /* The collector frees the copies of threads that have ended (_Py_ClearUnusedTLBC), long before the code: then, too,
     * what caches know of instructions there must end. */
    if (copy != (uintptr_t)code->co_code_adaptive && !tm_code_lies_at(copy))
        lasting = false;
#endif
    if (location && steady && lasting)
        *tm_recent_location(thread, instruction) =
            (struct tm_recent_location){.instruction = instruction, .location = location};
    return location;
}

/* ---- verifying ------------------------------------------------------------------------------------------------------------------ */

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

/* ---- building -------------------------------------------------------------------------------------------------------------------- */

/* Makes room above `base`: its newest entries move to the bottom.  Returns by how much. */
static uint32_t compact(struct tm_thread *thread, uint32_t base)
{
    uint32_t kept = tm_runtime.frame_limit + SLACK;
    uint32_t shift = base + 1 - kept - TM_CACHE_BOTTOM;
    memmove(&thread->link[TM_CACHE_BOTTOM], &thread->link[TM_CACHE_BOTTOM + shift], kept * sizeof(*thread->link));
    memmove(&thread->entry[TM_CACHE_BOTTOM - 1], &thread->entry[TM_CACHE_BOTTOM - 1 + shift],
            (kept + 1) * sizeof(*thread->entry));
    thread->link[TM_CACHE_BOTTOM - 1].frame = TM_STALE_FRAME;
    for (uint32_t i = TM_CACHE_BOTTOM - 1; i < TM_CACHE_BOTTOM + kept; i++) {
        uint32_t floor = thread->entry[i].floor;
        thread->entry[i].floor = floor > shift + TM_CACHE_BOTTOM - 1 ? floor - shift : TM_CACHE_BOTTOM - 1;
    }
    thread->top = base - shift;
    return shift;
}

static uint32_t shifted(uint32_t entry, uint32_t shift)
{
    return entry > shift + TM_CACHE_BOTTOM ? entry - shift : TM_CACHE_BOTTOM;
}

/* What stands on an entry: a location, or with HIDDEN a frame that tracebacks do not show. */
static TM_ALWAYS_INLINE void stand_on(struct tm_cached_stack *entry, uint32_t location)
{
    const struct tm_cached_stack *below = entry - 1;
    uint64_t path = below->path;
    uint32_t check = below->check;
    if (location != HIDDEN) {
        path = path && location ? path_on(path, location) : 0;
        check = check_on(check, location);
    }
    entry->location = location;
    if (entry->path != path || entry->check != check || !path) {
        entry->path = path;
        entry->check = check;
        entry->stack = TM_STACK_NONE;
    }
}

/* Writes entry i for a frame, on top of entry i - 1. */
static TM_ALWAYS_INLINE void set(struct tm_thread *thread, uint32_t i, tm_frame *frame, uintptr_t instruction,
                                 uint32_t location)
{
    struct tm_cached_stack *entry = &thread->entry[i];
    uint32_t frames = entry[-1].frames + (location != HIDDEN);
    uint32_t floor = entry[-1].floor;
    while (floor + 1 != i && frames - thread->entry[floor + 1].frames >= tm_runtime.frame_limit)
        floor++;
    entry->frames = frames;
    entry->floor = floor;
    stand_on(entry, location);
    thread->link[i] = (struct tm_cached_link){frame, instruction};
    thread->hint[hint_of(frame)] = i;
}

static TM_NOINLINE void place_slowly(struct tm_thread *thread, uint32_t i, tm_frame *frame)
{
    uintptr_t instruction = tm_frame_instruction(frame);
    PyCodeObject *code = tm_frame_code(frame);
    bool steady = !tm_frame_is_unsteady(frame);
    uint32_t location = code ? find_location(thread, code, instruction, steady) : HIDDEN;
    /* An unsteady one is never verified: it is placed anew each time. */
    set(thread, i, frame, steady ? instruction : NO_INSTRUCTION, location);
    uintptr_t block;
    if (tm_frame_stays_hidden(frame, &block) && (!block || tm_code_lies_at(block)))
        *tm_recent_location(thread, instruction) = (struct tm_recent_location){instruction, HIDDEN, TM_STACK_NONE};
}

static TM_ALWAYS_INLINE void place(struct tm_thread *thread, uint32_t i, tm_frame *frame)
{
    uintptr_t instruction = tm_frame_instruction(frame);
    const struct tm_recent_location *recent = tm_recent_location(thread, instruction);
    if (TM_LIKELY(recent->instruction == instruction))
        set(thread, i, frame, instruction, recent->location);
    else
        place_slowly(thread, i, frame);
}

/* Empties the cache; `below` is the frame of its sentinel.  Paths begin with the frame limit: stacks that a small one has
 * cut must not be found once there is a larger one. */
static void begin(struct tm_thread *thread, void *below)
{
    thread->top = TM_CACHE_BOTTOM - 1;
    thread->link[TM_CACHE_BOTTOM - 1].frame = below;
    thread->entry[TM_CACHE_BOTTOM - 1] =
        (struct tm_cached_stack){.path = tm_runtime.frame_limit, .floor = TM_CACHE_BOTTOM - 1};
}

/*
 * Numbers the stack of entry `top`, and of those below it that have none; entries from `sure` on are known to be on the
 * stack, others must not be touched.  TM_STACK_NONE: no memory.
 */
static TM_NOINLINE uint32_t intern_entries(struct tm_thread *thread, uint32_t top, uint32_t sure)
{
    uint32_t lowest = top;
    while (lowest > sure && !thread->entry[lowest - 1].stack)
        lowest--;
    uint32_t stack = thread->entry[lowest - 1].stack;
    /* Otherwise only the top's stack has all the frames that it shows; those below would lack some. */
    bool complete = stack || lowest == TM_CACHE_BOTTOM;
    for (uint32_t i = lowest; i <= top; i++) {
        struct tm_cached_stack *entry = &thread->entry[i];
        if (entry->location != HIDDEN) {
            stack = entry->location ? tm_intern_stack(stack, entry->location, thread->link[i].frame) : TM_STACK_NONE;
            if (!stack)
                return TM_STACK_NONE;
        }
        if (complete || i == top)
            entry->stack = stack;
    }
    if (thread->entry[top].path)
        tm_intern_remember(thread->entry[top].path, thread->entry[top].check, stack);
    return stack;
}

static TM_NOINLINE uint32_t find_stack_of_top(struct tm_thread *thread, uint32_t sure)
{
    uint32_t top = thread->top;
    struct tm_cached_stack *entry = &thread->entry[top];
    if (entry->frames == thread->entry[entry->floor].frames)
        return TM_STACK_UNKNOWN; /* nothing but hidden frames */
    uint32_t stack = entry->path ? tm_intern_find(entry->path, entry->check) : TM_STACK_NONE;
    if (!stack)
        stack = intern_entries(thread, top, sure);
    if (stack && entry->path)
        *recent_stack(thread, entry->path) = (struct tm_recent_stack){entry->path, entry->check, stack};
    return entry->stack = stack;
}

/* The number of the newest entry's stack; entries from `sure` on are known to be on the stack.  TM_STACK_NONE: no
 * memory. */
static TM_ALWAYS_INLINE uint32_t stack_of_top(struct tm_thread *thread, uint32_t sure)
{
    struct tm_cached_stack *entry = &thread->entry[thread->top];
    if (TM_LIKELY(entry->stack))
        return entry->stack;
    const struct tm_recent_stack *recent = recent_stack(thread, entry->path);
    if (TM_LIKELY(recent->path == entry->path && recent->check == entry->check && entry->path))
        return entry->stack = recent->stack;
    return find_stack_of_top(thread, sure);
}

/* Entries changed..base are placed anew, pending frames (newest first) go on top of them. */
static void rebuild(struct tm_thread *thread, uint32_t changed, uint32_t base, uint32_t pending)
{
    uint32_t i = changed;
    for (; i <= base; i++)
        place(thread, i, thread->link[i].frame);
    for (i = base + 1; pending; i++)
        place(thread, i, thread->pending[--pending]);
    thread->top = i - 1;
}

/* Entry `base` is on the stack, pending frames go on top of it. */
static TM_NOINLINE uint32_t verify_slowly(struct tm_thread *thread, tm_frame *newest, uint32_t base, uint32_t pending)
{
    uint32_t sure = thread->entry[base].floor + 1;
    uint32_t changed = verify(thread, base, sure - 1);
    if (!changed)
        return tm_stack_resolve(thread, newest);
    rebuild(thread, changed, base, pending);
    return stack_of_top(thread, sure);
}

/* Functions were called since the last time: they are placed on top of what is left of that stack. */
static TM_NOINLINE uint32_t verify_called(struct tm_thread *thread, tm_frame *newest)
{
    const struct tm_cached_link *link = &thread->link[thread->top];
    /* From 3.11 on a generator or coroutine is made by a frame that lives for this one allocation. */
    if (!tm_frame_code(newest)) {
        newest = tm_frame_older(newest);
        return newest ? tm_stack_verify(thread, newest) : TM_STACK_UNKNOWN;
    }
    tm_frame *frame = newest;
    uint32_t pending = 0;
    while (link->frame != frame) {
        if (link[-1].frame == frame) {
            link -= 1;
        } else if (link[-2].frame == frame) {
            link -= 2;
        } else {
            thread->pending[pending++] = frame;
            frame = tm_frame_older(frame);
            if (TM_UNLIKELY(!frame || pending > QUICK_PENDING))
                return tm_stack_resolve(thread, newest);
        }
    }
    uint32_t base = (uint32_t)(link - thread->link);
    return base + pending < thread->capacity ? verify_slowly(thread, newest, base, pending)
                                             : tm_stack_resolve(thread, newest);
}

uint32_t tm_stack_verify(struct tm_thread *thread, tm_frame *newest)
{
    uint32_t top = thread->top;
    struct tm_cached_link *link = &thread->link[top];
    if (link->frame != newest) {
        top--, link--;
        if (link->frame != newest)
            return verify_called(thread, newest);
    }

    /* The oldest frame that a traceback shows must be linked to what lies below it, whatever that is. */
    struct tm_cached_stack *entry = &thread->entry[top];
    const struct tm_cached_link *end = &thread->link[entry->floor];
    const tm_frame *frame = newest;
#pragma GCC unroll 2
    for (const struct tm_cached_link *caller = link - 1; caller != end; caller--) {
        if (TM_UNLIKELY((void *)tm_frame_older(frame) != caller->frame))
            return tm_stack_resolve(thread, newest);
        frame = caller->frame;
        if (TM_UNLIKELY(tm_frame_instruction(frame) != caller->instruction))
            return verify_slowly(thread, newest, top, 0);
    }
    if (TM_UNLIKELY((void *)tm_frame_older(frame) != end->frame))
        return tm_stack_resolve(thread, newest);

    uintptr_t instruction = tm_frame_instruction(newest);
    thread->top = top;
    if (link->instruction != instruction) { /* it went on */
        const struct tm_recent_location *recent = tm_recent_location(thread, instruction);
        if (TM_UNLIKELY(recent->instruction != instruction || entry->location == HIDDEN))
            return verify_slowly(thread, newest, top, 0);
        link->instruction = instruction;
        if (recent->location != entry->location)
            stand_on(entry, recent->location);
    }
    return stack_of_top(thread, entry->floor + 1);
}

/* With one frame the path of the newest shown frame is all there is. */
static uint32_t resolve_single(struct tm_thread *thread, tm_frame *newest)
{
    PyCodeObject *code = NULL;
    tm_frame *frame = newest;
    while (frame && !(code = tm_frame_code(frame)))
        frame = tm_frame_older(frame);
    if (!frame)
        return TM_STACK_UNKNOWN;
    uintptr_t instruction = tm_frame_instruction(frame);
    struct tm_recent_location *recent = tm_recent_location(thread, instruction);
    if (recent->instruction == instruction && recent->stack)
        return recent->stack; /* under frames that are not shown */
    bool steady = !tm_frame_is_unsteady(frame);
    uint32_t location = find_location(thread, code, instruction, steady);
    uint32_t stack = location ? tm_intern_stack(TM_STACK_NONE, location, frame) : TM_STACK_NONE;
    if (recent->instruction == instruction)
        recent->stack = stack;
    if (!stack)
        recent->instruction = NO_INSTRUCTION;
    return stack;
}

uint32_t tm_stack_resolve(struct tm_thread *thread, tm_frame *newest)
{
    if (thread->epoch != tm_epoch() && !tm_thread_reset_cache(thread))
        return TM_STACK_NONE;
    if (tm_runtime.frame_limit == 1)
        return resolve_single(thread, newest);

    /* At most every second frame is one that tracebacks hide. */
    uint32_t room = 2 * (tm_runtime.frame_limit + SLACK);
    uint32_t pending = 0;
    tm_frame *frame = newest;
    while (frame && !tm_frame_code(frame))
        frame = tm_frame_older(frame); /* none that has gone again the next time */

    /* Outwards until a frame is met from which the cache confirms all the rest. */
    while (frame && pending < room) {
        uint32_t base = locate(thread, frame);
        uint32_t changed = base ? verify(thread, base, thread->entry[base].floor) : 0;
        if (changed) {
            uint32_t sure = thread->entry[base].floor + 1;
            if (TM_UNLIKELY(base + pending >= thread->capacity)) {
                uint32_t shift = compact(thread, base);
                base -= shift;
                changed = shifted(changed, shift);
                sure = shifted(sure, shift);
            }
            rebuild(thread, changed, base, pending);
            return stack_of_top(thread, sure);
        }
        thread->pending[pending++] = frame;
        frame = tm_frame_older(frame);
    }
    begin(thread, frame ? TM_STALE_FRAME : NULL);
    rebuild(thread, TM_CACHE_BOTTOM, TM_CACHE_BOTTOM - 1, pending);
    return stack_of_top(thread, TM_CACHE_BOTTOM);
}

bool tm_thread_reset_cache(struct tm_thread *thread)
{
    uint32_t epoch = tm_epoch(); /* of before: should it go up meanwhile, the cache is emptied again */
    uint32_t capacity = MINIMUM_CAPACITY;
    while (capacity < 3 * (tm_runtime.frame_limit + SLACK) + TM_CACHE_BOTTOM)
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
    memset(thread->locations, 0, sizeof(thread->locations));
    tm_recent_location(thread, 0)->instruction = NO_INSTRUCTION;
    memset(thread->stacks, 0, sizeof(thread->stacks));
    memset(thread->hint, 0, sizeof(thread->hint));
    thread->epoch = epoch;
    begin(thread, TM_STALE_FRAME);
    return true;
}
