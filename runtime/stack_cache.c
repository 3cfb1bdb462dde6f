/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "stack_cache.h"

/* Frames beyond the limit that the cache takes in when it is filled, so that returns do not soon reach its bottom. */
#define SLACK 64
#define MINIMUM_CAPACITY 256

/* What no frame's instruction is.  0 would not do: 3.15's base_frame, the outermost frame of every thread, has it
 * (Python/pystate.c, init_threadstate). */
#define NO_INSTRUCTION 1

/* Called functions that need not be looked for. */
#define QUICK_PENDING 4

static uint32_t hint_of(const void *frame)
{
    uintptr_t address = (uintptr_t)frame;
    return (address >> 4 ^ address >> 12) % TM_HINTS;
}

/* The frame's entry; NULL: none is known. */
static struct tm_cached_frame *locate(const struct tm_thread *thread, const void *frame)
{
    struct tm_cached_frame *newest = thread->newest;
    if (newest->frame == frame)
        return newest;
    uint32_t hint = thread->hint[hint_of(frame)];
    struct tm_cached_frame *entry = &thread->cache[hint];
    return hint >= TM_CACHE_BOTTOM && entry <= newest && entry->frame == frame ? entry : NULL;
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
 * Verifies an entry, which is known to be on the stack, and those below it.  Returns the lowest one whose instruction
 * changed, the entry above if none did, and NULL if the frames are no longer linked like that.
 *
 * Which frames have moved cannot be foreseen, here and below: so there are as few branches on it as can be.
 */
static TM_ALWAYS_INLINE struct tm_cached_frame *verify(struct tm_thread *thread, struct tm_cached_frame *newest)
{
    const struct tm_cached_frame *floor = &thread->cache[newest->floor];
    struct tm_cached_frame *entry = newest, *changed = newest + 1;
    do {
        changed = tm_frame_instruction(entry->frame) != entry->instruction ? entry : changed;
        if (TM_UNLIKELY((void *)tm_frame_older(entry->frame) != entry[-1].frame))
            return NULL;
        entry--;
    } while (entry != floor && !tm_seal_proves(thread, entry, newest->floor));
#ifdef TM_FRAMES_CAN_BE_SEALED
    thread->seal_credit += (uint32_t)(newest - entry) - 1;
    if (TM_UNLIKELY(thread->seal_credit >= thread->seal_price))
        tm_seals_set(thread, entry + 1, (changed < newest ? changed : newest) - 1,
                     entry == floor ? newest->floor : entry->proven);
#endif
    return changed;
}

/* ---- building -------------------------------------------------------------------------------------------------------------------- */

static uint32_t shifted(uint32_t index, uint32_t shift, uint32_t lowest)
{
    return index > shift + lowest ? index - shift : lowest;
}

/* Makes room above `base`: its newest entries move to the bottom.  Returns by how much. */
static uint32_t compact(struct tm_thread *thread, const struct tm_cached_frame *base)
{
    uint32_t kept = tm_runtime.frame_limit + SLACK;
    uint32_t shift = (uint32_t)(base - thread->cache) + 1 - kept - TM_CACHE_BOTTOM;
    struct tm_cached_frame *sentinel = &thread->cache[TM_CACHE_BOTTOM - 1];
    memmove(sentinel, sentinel + shift, (kept + 1) * sizeof(*sentinel));
    sentinel->frame = TM_STALE_FRAME;
    for (struct tm_cached_frame *entry = sentinel; entry <= sentinel + kept; entry++) {
        entry->floor = shifted(entry->floor, shift, TM_CACHE_BOTTOM - 1);
        if (entry->proven != TM_PROVES_NOTHING)
            entry->proven = shifted(entry->proven, shift, TM_CACHE_BOTTOM);
    }
    thread->newest = sentinel + kept;
    return shift;
}

/* What stands on an entry: a location, or with TM_LOCATION_HIDDEN a frame that tracebacks do not show. */
static TM_ALWAYS_INLINE void stand_on(struct tm_cached_frame *entry, uint32_t location)
{
    const struct tm_cached_frame *below = entry - 1;
    uint64_t path = below->path;
    uint32_t check = below->check;
    if (location != TM_LOCATION_HIDDEN) {
        path = path && location ? path_on(path, location) : 0;
        check = check_on(check, location);
    }
    uint32_t same = (entry->path == path) & (entry->check == check) & (path != 0);
    entry->location = location;
    entry->path = path;
    entry->check = check;
    entry->stack &= -same; /* otherwise TM_STACK_NONE */
}

/* The floor of an entry whose `frames` are known. */
static TM_ALWAYS_INLINE uint32_t floor_of(const struct tm_thread *thread, const struct tm_cached_frame *entry)
{
    if (TM_LIKELY(entry->frames <= tm_runtime.frame_limit))
        return TM_CACHE_BOTTOM - 1;
    const struct tm_cached_frame *floor = &thread->cache[entry[-1].floor];
    while (floor + 1 != entry && entry->frames - floor[1].frames >= tm_runtime.frame_limit)
        floor++;
    return (uint32_t)(floor - thread->cache);
}

/* Writes the entry for a frame, on top of the entry below. */
static TM_ALWAYS_INLINE void set(struct tm_thread *thread, struct tm_cached_frame *entry, tm_frame *frame,
                                 uintptr_t instruction, uint32_t location)
{
    entry->frame = frame;
    entry->instruction = instruction;
    entry->frames = entry[-1].frames + (location != TM_LOCATION_HIDDEN);
    entry->floor = floor_of(thread, entry);
    entry->proven = TM_PROVES_NOTHING;
    stand_on(entry, location);
    thread->hint[hint_of(frame)] = (uint32_t)(entry - thread->cache);
}

static TM_NOINLINE void place_slowly(struct tm_thread *thread, struct tm_cached_frame *entry, tm_frame *frame)
{
    uintptr_t instruction = tm_frame_instruction(frame);
    PyCodeObject *code = tm_frame_code(frame);
    bool steady = !tm_frame_is_unsteady(frame);
    uint32_t location = code ? find_location(thread, code, instruction, steady) : TM_LOCATION_HIDDEN;
    /* An unsteady one is never verified: it is placed anew each time. */
    set(thread, entry, frame, steady ? instruction : NO_INSTRUCTION, location);
    uintptr_t block;
    if (tm_frame_stays_hidden(frame, &block) && (!block || tm_code_lies_at(block)))
        *tm_recent_location(thread, instruction) =
            (struct tm_recent_location){instruction, TM_LOCATION_HIDDEN, TM_STACK_NONE};
}

static TM_ALWAYS_INLINE void place(struct tm_thread *thread, struct tm_cached_frame *entry, tm_frame *frame)
{
    uintptr_t instruction = tm_frame_instruction(frame);
    const struct tm_recent_location *recent = tm_recent_location(thread, instruction);
    if (TM_LIKELY(recent->instruction == instruction))
        set(thread, entry, frame, instruction, recent->location);
    else
        place_slowly(thread, entry, frame);
}

/* Empties the cache; `below` is the frame of its sentinel.  Paths begin with the frame limit: stacks that a small one has
 * cut must not be found once there is a larger one. */
static void begin(struct tm_thread *thread, void *below)
{
    thread->newest = &thread->cache[TM_CACHE_BOTTOM - 1];
    *thread->newest = (struct tm_cached_frame){
        .frame = below,
        .path = tm_runtime.frame_limit,
        .floor = TM_CACHE_BOTTOM - 1,
        .proven = TM_PROVES_NOTHING,
    };
}

/*
 * Numbers the stack of the newest entry, and of those below it that have none; entries above `floor` are known to be on the
 * stack, others must not be touched.  TM_STACK_NONE: no memory.
 */
static TM_NOINLINE uint32_t intern_entries(struct tm_thread *thread, const struct tm_cached_frame *floor)
{
    struct tm_cached_frame *newest = thread->newest;
    struct tm_cached_frame *entry = newest;
    while (entry - 1 > floor && !(entry[-1].stack && newest->path))
        entry--;
    uint32_t stack = newest->path ? entry[-1].stack : TM_STACK_NONE;
    /* Otherwise only the newest one's stack has all the frames that it shows; those below would lack some. */
    bool complete = stack || entry == &thread->cache[TM_CACHE_BOTTOM];
    uint64_t path = complete ? entry[-1].path : tm_runtime.frame_limit;
    uint32_t check = complete ? entry[-1].check : 0;
    tm_intern_lock();
    for (; entry <= newest; entry++) {
        if (entry->location != TM_LOCATION_HIDDEN) {
            path = path_on(path, entry->location);
            check = check_on(check, entry->location);
            stack =
                entry->location ? tm_intern_stack(path, check, stack, entry->location, entry->frame) : TM_STACK_NONE;
            if (!stack)
                break;
        }
        if (complete || entry == newest)
            entry->stack = stack;
    }
    tm_intern_unlock();
    return stack;
}

static TM_NOINLINE uint32_t find_stack(struct tm_thread *thread)
{
    struct tm_cached_frame *entry = thread->newest;
    const struct tm_cached_frame *floor = &thread->cache[entry->floor];
    if (entry->frames == floor->frames)
        return TM_STACK_UNKNOWN; /* nothing but hidden frames */
    if (!entry->path)
        return entry->stack = intern_entries(thread, floor);
    /* Programs do the same things again: stacks that follow one another have numbers that do, so their followers lie side
     * by side, where entries of the index lie all over it (130 ns each for 50,000 stacks). */
    struct tm_recent_stack none = {0};
    struct tm_recent_stack *follower = &none;
    if (thread->followers)
        follower = &thread->followers[thread->last_found % (1 << TM_FOLLOWER_BITS)];
    bool fresh = tm_is_zero_before_writing(&follower->path);
    uint32_t stack = follower->stack;
    if (fresh || follower->path != entry->path || follower->check != entry->check) {
        stack = tm_intern_find(entry->path, entry->check);
        if (!stack)
            stack = intern_entries(thread, floor);
        if (!stack)
            return TM_STACK_NONE;
        *follower = (struct tm_recent_stack){entry->path, entry->check, stack};
    }
    *recent_stack(thread, entry->path) = *follower;
    thread->last_found = stack;
    return entry->stack = stack;
}

/* The number of the newest entry's stack; all entries above its floor are known to be on the stack.  TM_STACK_NONE: no
 * memory. */
static TM_ALWAYS_INLINE uint32_t stack_of_newest(struct tm_thread *thread)
{
    struct tm_cached_frame *entry = thread->newest;
    if (TM_LIKELY(entry->stack))
        return entry->stack;
    const struct tm_recent_stack *recent = recent_stack(thread, entry->path);
    if (TM_LIKELY(recent->path == entry->path && recent->check == entry->check && entry->path))
        return entry->stack = recent->stack;
    return find_stack(thread);
}

/* Entries changed..base are placed anew, pending frames (newest first) go on top of them. */
static uint32_t rebuild(struct tm_thread *thread, struct tm_cached_frame *changed, struct tm_cached_frame *base,
                        uint32_t pending)
{
    struct tm_cached_frame *entry = changed;
    for (; entry <= base; entry++)
        place(thread, entry, entry->frame);
    for (entry = base + 1; pending; entry++)
        place(thread, entry, thread->pending[--pending]);
    thread->newest = entry - 1;
    return stack_of_newest(thread);
}

/* Functions were called since the last time: they are placed on top of what is left of that stack. */
static TM_NOINLINE uint32_t verify_called(struct tm_thread *thread, tm_frame *newest)
{
    struct tm_cached_frame *entry = thread->newest;
    /* From 3.11 on a generator or coroutine is made by a frame that lives for this one allocation. */
    if (!tm_frame_code(newest)) {
        newest = tm_frame_older(newest);
        return newest ? tm_stack_verify(thread, newest) : TM_STACK_UNKNOWN;
    }
    tm_frame *frame = newest;
    uint32_t pending = 0;
    while (entry->frame != frame) {
        if (entry[-1].frame == frame) {
            entry -= 1;
        } else if (entry[-2].frame == frame) {
            entry -= 2;
        } else {
            thread->pending[pending++] = frame;
            frame = tm_frame_older(frame);
            if (TM_UNLIKELY(!frame || pending > QUICK_PENDING))
                return tm_stack_resolve(thread, newest);
        }
    }
    bool fits = entry + pending < thread->cache + thread->capacity;
    struct tm_cached_frame *changed = fits ? verify(thread, entry) : NULL;
    return changed ? rebuild(thread, changed, entry, pending) : tm_stack_resolve(thread, newest);
}

uint32_t tm_stack_move(struct tm_thread *thread, tm_frame *newest)
{
    struct tm_cached_frame *entry = thread->newest;
    uintptr_t instruction = tm_frame_instruction(newest);
    if (entry->instruction != instruction) {
        const struct tm_recent_location *recent = tm_recent_location(thread, instruction);
        if (TM_UNLIKELY(recent->instruction != instruction || entry->location == TM_LOCATION_HIDDEN))
            return rebuild(thread, entry, entry, 0);
        entry->instruction = instruction;
        entry->proven = TM_PROVES_NOTHING; /* its seal was of the other instruction */
        if (recent->location != entry->location)
            stand_on(entry, recent->location);
    }
    return stack_of_newest(thread);
}

uint32_t tm_stack_verify(struct tm_thread *thread, tm_frame *newest)
{
    struct tm_cached_frame *entry = thread->newest;
    entry -= entry->frame != newest; /* has it returned? */
    if (entry->frame != newest)
        return verify_called(thread, newest);

    struct tm_cached_frame *changed = verify(thread, entry);
    if (TM_UNLIKELY(!changed))
        return tm_stack_resolve(thread, newest);
    if (changed < entry)
        return rebuild(thread, changed, entry, 0);
    thread->newest = entry;
    return tm_stack_move(thread, newest);
}

static uint32_t intern_single(uint32_t location, tm_frame *frame)
{
    uint64_t path = path_on(tm_runtime.frame_limit, location);
    uint32_t check = check_on(0, location);
    uint32_t stack = tm_intern_find(path, check);
    if (!stack) {
        tm_intern_lock();
        stack = tm_intern_stack(path, check, TM_STACK_NONE, location, frame);
        tm_intern_unlock();
    }
    return stack;
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
    uint32_t stack = location ? intern_single(location, frame) : TM_STACK_NONE;
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
        struct tm_cached_frame *base = locate(thread, frame);
        struct tm_cached_frame *changed = base ? verify(thread, base) : NULL;
        if (changed) {
            if (TM_UNLIKELY(base + pending >= thread->cache + thread->capacity)) {
                uint32_t shift = compact(thread, base);
                base -= shift;
                changed = &thread->cache[shifted((uint32_t)(changed - thread->cache), shift, TM_CACHE_BOTTOM)];
            }
            return rebuild(thread, changed, base, pending);
        }
        thread->pending[pending++] = frame;
        frame = tm_frame_older(frame);
    }
    begin(thread, frame ? TM_STALE_FRAME : NULL);
    return rebuild(thread, thread->newest + 1, thread->newest, pending);
}

bool tm_thread_reset_cache(struct tm_thread *thread)
{
    uint64_t epoch = tm_epoch() | 1; /* of before: should it go up meanwhile, the cache is emptied again */
    uint32_t capacity = MINIMUM_CAPACITY;
    while (capacity < 3 * (tm_runtime.frame_limit + SLACK) + TM_CACHE_BOTTOM)
        capacity *= 2;
    if (thread->capacity != capacity) {
        struct tm_cached_frame *memory =
            tm_arena_private(capacity * (sizeof(*thread->cache) + sizeof(*thread->pending)));
        if (!memory)
            return false;
        if (thread->cache)
            tm_arena_release_private(thread->cache);
        thread->cache = memory;
        thread->pending = (void **)(memory + capacity);
        thread->capacity = capacity;
    }
    memset(thread->locations, 0, sizeof(thread->locations));
    tm_recent_location(thread, 0)->instruction = NO_INSTRUCTION;
    thread->epoch = epoch;
    begin(thread, TM_STALE_FRAME);
    return true;
}
