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
    return (address >> 4) % TM_HINTS;
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

static TM_ALWAYS_INLINE uint64_t path_on(uint64_t below, uint32_t location)
{
    return tm_fold(below ^ UINT64_C(0x78bd642f), location ^ UINT64_C(0xe7037ed1a0b428db));
}

static TM_ALWAYS_INLINE uint32_t check_on(uint32_t below, uint32_t location)
{
    return below * UINT32_C(0x9e3779b1) + location;
}

/* The path of a frame at a location, or one that is hidden, on a path. */
static TM_ALWAYS_INLINE void extend(uint64_t *path, uint32_t *check, uint32_t location)
{
    bool shown = location != TM_LOCATION_HIDDEN;
    *path = shown ? path_on(*path, location) : *path;
    *check = shown ? check_on(*check, location) : *check;
}

/* By bits that are in the right place already: an entry has 16 bytes. */
static TM_ALWAYS_INLINE struct tm_recent_stack *recent_stack(struct tm_thread *thread, uint64_t path)
{
    return &thread->stacks[(path >> 4) % (1u << TM_RECENT_STACK_BITS)];
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
 * Verifies an entry, which is known to be on the stack, and those below it, down to `*proof`: one whose seal proves the rest, or
 * the floor.  Returns the lowest one whose instruction changed, the entry above if none did, and NULL if the frames are no
 * longer linked like that.
 *
 * Which frames have moved cannot be foreseen, here and below: so there are as few branches on it as can be.
 */
static TM_ALWAYS_INLINE struct tm_cached_frame *verify(const struct tm_thread *thread, struct tm_cached_frame *newest,
                                                       struct tm_cached_frame **proof)
{
    uint32_t floor = newest->floor;
    struct tm_cached_frame *entry = newest, *changed = newest + 1;
    do {
        changed = tm_frame_instruction(entry->frame) != entry->instruction ? entry : changed;
        if (TM_UNLIKELY((void *)tm_frame_older(entry->frame) != entry[-1].frame))
            return NULL;
        entry--;
    } while (entry != &thread->cache[floor] && !tm_seal_proves(thread, entry, floor));
    *proof = entry;
    return changed;
}

/* After verifying: has it been so much work that seals are to spare some? */
static TM_ALWAYS_INLINE bool seals_are_due(struct tm_thread *thread, const struct tm_cached_frame *newest,
                                           const struct tm_cached_frame *proof)
{
#ifdef TM_FRAMES_CAN_BE_SEALED
    thread->seal_credit += (uint32_t)((const char *)(newest - 1) - (const char *)proof);
    return TM_UNLIKELY(thread->seal_credit >= thread->seal_price);
#else
    (void)thread, (void)newest, (void)proof;
    return false;
#endif
}

static void set_seals(struct tm_thread *thread, struct tm_cached_frame *newest, struct tm_cached_frame *proof,
                      struct tm_cached_frame *changed)
{
#ifdef TM_FRAMES_CAN_BE_SEALED
    bool all = proof == &thread->cache[newest->floor];
    tm_seals_set(thread, proof + 1, (changed < newest ? changed : newest) - 1, all ? newest->floor : proof->proven);
#else
    (void)thread, (void)newest, (void)proof, (void)changed;
#endif
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

/* Where an entry's frame stands: at a location, or it is one that tracebacks do not show, with TM_LOCATION_HIDDEN. */
static TM_ALWAYS_INLINE void stand_at(struct tm_cached_frame *entry, uint32_t location)
{
    uint64_t path = entry[-1].path;
    uint32_t check = entry[-1].check;
    extend(&path, &check, location);
    entry->location = location;
    entry->path = path;
    entry->check = check;
    entry->stack = TM_STACK_NONE;
}

/* The floor of an entry whose `frames` are known. */
static TM_ALWAYS_INLINE uint32_t floor_of(const struct tm_thread *thread, const struct tm_cached_frame *entry)
{
    if (TM_LIKELY(entry->frames <= tm_runtime.frame_limit))
        return TM_CACHE_BOTTOM - 1;
    uint32_t not_shown = entry->frames - tm_runtime.frame_limit;
    uint32_t floor = entry[-1].floor;
    while (thread->cache[floor + 1].frames <= not_shown) /* the entry itself has more */
        floor++;
    return floor;
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
    stand_at(entry, location);
    thread->hint[hint_of(frame)] = (uint32_t)(entry - thread->cache);
}

/* False: this instruction was not met lately. */
static TM_ALWAYS_INLINE bool place_recent(struct tm_thread *thread, struct tm_cached_frame *entry, tm_frame *frame)
{
    uintptr_t instruction = tm_frame_instruction(frame);
    const struct tm_recent_location *recent = tm_recent_location(thread, instruction);
    if (TM_UNLIKELY(recent->instruction != instruction))
        return false;
    set(thread, entry, frame, instruction, recent->location);
    return true;
}

/* The same for the frame that the entry is of already.  False, too: it was shown, and now is hidden, or the other way round. */
static TM_ALWAYS_INLINE bool place_again(struct tm_thread *thread, struct tm_cached_frame *entry)
{
    uintptr_t instruction = tm_frame_instruction(entry->frame);
    const struct tm_recent_location *recent = tm_recent_location(thread, instruction);
    if (TM_UNLIKELY(recent->instruction != instruction) ||
        TM_UNLIKELY((int32_t)(recent->location ^ entry->location) < 0)) /* one of them is TM_LOCATION_HIDDEN */
        return false;
    entry->instruction = instruction;
    entry->proven = TM_PROVES_NOTHING;
    stand_at(entry, recent->location);
    return true;
}

/* False: no memory for a location. */
static bool place(struct tm_thread *thread, struct tm_cached_frame *entry, tm_frame *frame)
{
    if (place_recent(thread, entry, frame))
        return true;
    uintptr_t instruction = tm_frame_instruction(frame);
    PyCodeObject *code = tm_frame_code(frame);
    bool steady = !tm_frame_is_unsteady(frame);
    uint32_t location = code ? find_location(thread, code, instruction, steady) : TM_LOCATION_HIDDEN;
    if (!location)
        return false;
    /* An unsteady one is never verified: it is placed anew each time. */
    set(thread, entry, frame, steady ? instruction : NO_INSTRUCTION, location);
    uintptr_t block;
    if (tm_frame_stays_hidden(frame, &block) && (!block || tm_code_lies_at(block)))
        *tm_recent_location(thread, instruction) =
            (struct tm_recent_location){instruction, TM_LOCATION_HIDDEN, TM_STACK_NONE};
    return true;
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
static TM_NOINLINE uint32_t intern_entries(struct tm_thread *thread, struct tm_cached_frame *newest,
                                           const struct tm_cached_frame *floor)
{
    struct tm_cached_frame *entry = newest;
    /* Down to one whose stack is known already, or is met again. */
    while (entry - 1 > floor && !entry[-1].stack) {
        entry[-1].stack = tm_intern_find(entry[-1].path, entry[-1].check);
        if (!entry[-1].stack)
            entry--;
    }
    uint32_t stack = entry[-1].stack;
    uint64_t path = entry[-1].path;
    uint32_t check = entry[-1].check;
    bool complete = stack || entry == &thread->cache[TM_CACHE_BOTTOM];
    if (!complete) {
        /* Only the newest one's stack will have all the frames that it shows; those below would lack some.  And it may have been
         * met before, on top of other frames that it does not show. */
        uint64_t whole = path = tm_runtime.frame_limit;
        uint32_t whole_check = check = 0;
        for (const struct tm_cached_frame *shown = entry; shown <= newest; shown++)
            extend(&whole, &whole_check, shown->location);
        stack = tm_intern_find(whole, whole_check);
        if (stack)
            return stack;
    }
    bool locked = tm_intern_lock();
    for (; entry <= newest; entry++) {
        if (entry->location != TM_LOCATION_HIDDEN) {
            extend(&path, &check, entry->location);
            stack = tm_intern_stack(path, check, stack, entry->location, entry->frame);
            if (!stack)
                break;
        }
        if (complete)
            entry->stack = stack;
    }
    tm_intern_unlock(locked);
    return stack;
}

static TM_NOINLINE uint32_t find_stack(struct tm_thread *thread, struct tm_cached_frame *newest)
{
    const struct tm_cached_frame *floor = &thread->cache[newest->floor];
    if (newest->frames == floor->frames)
        return TM_STACK_UNKNOWN; /* nothing but hidden frames */
    /* Programs do the same things again: stacks that follow one another have numbers that do, so their followers lie side
     * by side, where entries of the index lie all over it (130 ns each for 50,000 stacks). */
    struct tm_recent_stack none = {0};
    struct tm_recent_stack *follower = &none;
    if (thread->followers)
        follower = &thread->followers[thread->last_found % (1 << TM_FOLLOWER_BITS)];
    bool fresh = tm_is_zero_before_writing(&follower->path);
    uint32_t stack = follower->stack;
    if (fresh || follower->path != newest->path || follower->check != newest->check) {
        stack = tm_intern_find(newest->path, newest->check);
        if (!stack)
            stack = intern_entries(thread, newest, floor);
        if (!stack)
            return TM_STACK_NONE;
        *follower = (struct tm_recent_stack){newest->path, newest->check, stack};
    }
    *recent_stack(thread, newest->path) = *follower;
    thread->last_found = stack;
    return newest->stack = stack;
}

/* The number of the newest entry's stack; all entries above its floor are known to be on the stack.
 * TM_STACK_NONE: no memory. */
static TM_ALWAYS_INLINE uint32_t stack_of(struct tm_thread *thread, struct tm_cached_frame *newest)
{
    if (TM_LIKELY(newest->stack))
        return newest->stack;
    const struct tm_recent_stack *recent = recent_stack(thread, newest->path);
    if (TM_LIKELY(recent->path == newest->path && recent->check == newest->check))
        return newest->stack = recent->stack;
    return find_stack(thread, newest);
}

/* The same of an entry that is to be the newest; everything below it is known to be right. */
static TM_ALWAYS_INLINE uint32_t settle(struct tm_thread *thread, struct tm_cached_frame *newest)
{
    thread->newest = newest;
    tm_seal_newest(thread, newest);
    return stack_of(thread, newest);
}

static uint32_t verify_and_rebuild(struct tm_thread *thread, struct tm_cached_frame *base, uint32_t pending);

/* The stack of a thread whose newest frame is one that tracebacks do not show: from 3.11 on a generator or coroutine is made by
 * one that lives for this one allocation.  So the next one is asked for, which stays. */
static TM_NOINLINE uint32_t stack_below(struct tm_thread *thread, tm_frame *hidden)
{
    tm_frame *newest = tm_frame_older(hidden);
    return TM_LIKELY(newest != NULL) ? tm_stack_verify(thread, newest) : TM_STACK_UNKNOWN;
}

/* Entries changed..base are placed anew, pending frames (newest first) go on top of them. */
static TM_NOINLINE uint32_t rebuild_slowly(struct tm_thread *thread, struct tm_cached_frame *changed,
                                           struct tm_cached_frame *base, uint32_t pending)
{
    if (!pending && !tm_frame_code(base->frame))
        return stack_below(thread, base->frame);
    struct tm_cached_frame *entry = changed;
    uint32_t floor = base->floor;
    bool placed = true;
    for (; placed && entry <= base; entry++)
        placed = place(thread, entry, entry->frame);
    /* A frame is hidden now that was shown?  Then one more below is shown, which was not verified. */
    if (placed && base->floor < floor)
        return verify_and_rebuild(thread, base, pending);
    for (; placed && pending; entry++)
        placed = place(thread, entry, thread->pending[--pending]);
    if (placed)
        return settle(thread, entry - 1);
    begin(thread, TM_STALE_FRAME);
    return TM_STACK_NONE;
}

/* From here on to tm_stack_verify() functions call others at their end only: to save registers for it was an eighth of their
 * work. */

/* The pending frames, one at least, go on top of what is below `entry`. */
static TM_NOINLINE uint32_t place_pending(struct tm_thread *thread, struct tm_cached_frame *entry, uint32_t pending)
{
    do {
        if (TM_UNLIKELY(!place_recent(thread, entry, thread->pending[pending - 1])))
            return rebuild_slowly(thread, entry, entry - 1, pending);
        entry++;
    } while (--pending);
    return settle(thread, entry - 1);
}

/* What rebuild_slowly() does, quickly where all instructions were met lately. */
static TM_ALWAYS_INLINE uint32_t rebuild(struct tm_thread *thread, struct tm_cached_frame *changed,
                                         struct tm_cached_frame *base, uint32_t pending)
{
    struct tm_cached_frame *entry = changed;
    for (; entry <= base; entry++)
        if (TM_UNLIKELY(!place_again(thread, entry)))
            return rebuild_slowly(thread, entry, base, pending);
    return pending ? place_pending(thread, entry, pending) : settle(thread, base);
}

/* Places an entry anew, below which everything is as it was.  False: not as easily. */
static TM_ALWAYS_INLINE bool move(struct tm_thread *thread, struct tm_cached_frame *entry)
{
    uintptr_t instruction = tm_frame_instruction(entry->frame);
    if (entry->instruction == instruction)
        return true;
    const struct tm_recent_location *recent = tm_recent_location(thread, instruction);
    if (TM_UNLIKELY(recent->instruction != instruction) || TM_UNLIKELY(entry->location == TM_LOCATION_HIDDEN))
        return false;
    entry->instruction = instruction;
    entry->proven = TM_PROVES_NOTHING; /* its seal was of the other instruction */
    if (recent->location != entry->location)
        stand_at(entry, recent->location);
    return true;
}

static TM_ALWAYS_INLINE uint32_t move_and_settle(struct tm_thread *thread, struct tm_cached_frame *newest)
{
    return TM_LIKELY(move(thread, newest)) ? settle(thread, newest) : rebuild_slowly(thread, newest, newest, 0);
}

static TM_NOINLINE uint32_t seal_and_rebuild(struct tm_thread *thread, struct tm_cached_frame *proof,
                                             struct tm_cached_frame *changed, struct tm_cached_frame *base,
                                             uint32_t pending)
{
    set_seals(thread, base, proof, changed);
    return rebuild(thread, changed, base, pending);
}

/* The stack of `base`, once it is verified, with the pending frames on top. */
static TM_NOINLINE uint32_t verify_and_rebuild(struct tm_thread *thread, struct tm_cached_frame *base, uint32_t pending)
{
    struct tm_cached_frame *proof, *changed = verify(thread, base, &proof);
    if (TM_UNLIKELY(!changed))
        return tm_stack_resolve(thread, pending ? thread->pending[0] : base->frame);
    if (seals_are_due(thread, base, proof))
        return seal_and_rebuild(thread, proof, changed, base, pending);
    return pending || changed < base ? rebuild(thread, changed, base, pending) : move_and_settle(thread, base);
}

/* Functions were called since the last time: they are placed on top of what is left of that stack. */
static TM_NOINLINE uint32_t verify_called(struct tm_thread *thread, tm_frame *newest)
{
    struct tm_cached_frame *entry = thread->newest;
    if (!tm_frame_code(newest))
        return stack_below(thread, newest);
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
    if (TM_UNLIKELY(entry + pending >= thread->cache + thread->capacity))
        return tm_stack_resolve(thread, newest);
    return verify_and_rebuild(thread, entry, pending);
}

uint32_t tm_stack_move(struct tm_thread *thread)
{
    struct tm_cached_frame *newest = thread->newest;
    return TM_LIKELY(move(thread, newest)) ? stack_of(thread, newest) : rebuild_slowly(thread, newest, newest, 0);
}

uint32_t tm_stack_verify(struct tm_thread *thread, tm_frame *newest)
{
    struct tm_cached_frame *entry = thread->newest;
    if (entry->frame == newest)
        return verify_and_rebuild(thread, entry, 0);
    entry--; /* It has returned? */
    if (entry->frame != newest)
        return verify_called(thread, newest);
    if (TM_LIKELY((void *)tm_frame_older(newest) == entry[-1].frame) &&
        TM_LIKELY(tm_seal_proves(thread, &entry[-1], entry->floor)))
        return move_and_settle(thread, entry);
    return verify_and_rebuild(thread, entry, 0);
}

static uint32_t intern_single(uint32_t location, tm_frame *frame)
{
    uint64_t path = path_on(tm_runtime.frame_limit, location);
    uint32_t check = check_on(0, location);
    uint32_t stack = tm_intern_find(path, check);
    if (!stack) {
        bool locked = tm_intern_lock();
        stack = tm_intern_stack(path, check, TM_STACK_NONE, location, frame);
        tm_intern_unlock(locked);
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
    if (!frame)
        return TM_STACK_UNKNOWN;

    /* Outwards until a frame is met from which the cache confirms all the rest. */
    while (frame && pending < room) {
        struct tm_cached_frame *base = locate(thread, frame);
        struct tm_cached_frame *proof, *changed = base ? verify(thread, base, &proof) : NULL;
        if (changed) {
            if (seals_are_due(thread, base, proof))
                set_seals(thread, base, proof, changed);
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
    return place_pending(thread, thread->newest + 1, pending);
}

uint32_t tm_stack_without_seals(struct tm_thread *thread, tm_frame *newest)
{
    tm_seals_forget(thread);
    uint32_t stack = tm_stack_resolve(thread, newest);
    tm_seals_forget(thread);
    return stack;
}

bool tm_thread_reset_cache(struct tm_thread *thread)
{
    uint64_t epoch = tm_epoch() & ~(uint64_t)TM_IDLE; /* of before: should it go up now, the cache is emptied again */
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
