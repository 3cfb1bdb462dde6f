/* SPDX-License-Identifier: MIT */
#include "seals.h"

bool tm_seals_allowed;

/* Where nothing was said, a JIT is on if CPython was configured so; PYTHON_JIT says otherwise, unless -E or -I is given, which
 * cannot be known here (Python/pylifecycle.c, init_interp_main). */
void tm_seals_configure(void)
{
#ifdef TM_JIT_BY_DEFAULT
    tm_seals_allowed = false;
#else
    const char *wish = getenv("PYTHON_JIT");
    tm_seals_allowed = !wish || !*wish || *wish == '0';
#endif
}

void tm_seals_forget(struct tm_thread *thread)
{
    if (thread->capacity)
        for (struct tm_cached_frame *entry = thread->newest; entry >= thread->cache; entry--) {
            entry->proven = TM_PROVES_NOTHING;
            entry->stamp = TM_NO_STAMP;
        }
}

#ifdef TM_FRAMES_CAN_BE_SEALED

/* Steps of verifying that seals might have spared, before any are set: to set one costs as much as a few steps, and many
 * frames return before it is of use.  The price goes up while there is nothing that can be sealed.  Steps are counted by the
 * bytes of their entries (seals_are_due() in stack_cache.c), which takes no division. */
#define LOWEST_PRICE (16 * sizeof(struct tm_cached_frame))
#define HIGHEST_PRICE (4096 * sizeof(struct tm_cached_frame))

#ifdef TM_FRAMES_CAN_BE_MARKED

static bool put(struct tm_thread *thread, struct tm_cached_frame *entry)
{
    (void)thread;
    return tm_frame_mark(entry[1].frame);
}

#else

/* No address (those have 17 equal bits at the top), so no object; and no small number, which 3.14's stacks may hold. */
#define SEAL_PREFIX (UINT64_C(0x5ea1) << 48)

/* Never given twice, to no thread. */
static uint64_t new_value(struct tm_thread *thread)
{
    static uint64_t values = SEAL_PREFIX;
    const uint64_t batch = 1 << 16;
    if (thread->next_seal % batch == 0)
        thread->next_seal = __atomic_fetch_add(&values, batch, __ATOMIC_RELAXED) + 1;
    return thread->next_seal++;
}

static bool put(struct tm_thread *thread, struct tm_cached_frame *entry)
{
    /* Frames that tracebacks hide are of the interpreter's own making, and may wait from their beginning. */
    if (entry->location == TM_LOCATION_HIDDEN)
        return false;
    tm_frame *frame = entry->frame;
    uint64_t *place = tm_frame_free_place(frame, entry[1].frame);
    if (place)
        *place = new_value(thread);
#ifdef TM_FRAMES_CAN_BE_STAMPED
    else if (tm_frame_runs(frame)) {
        /* A stamp will do as a seal. */
        if (!tm_stamp_is_intact(entry))
            tm_seal_stamp(thread, entry);
        place = (uint64_t *)&frame->stacktop;
    }
#endif
    if (!place)
        return false;
    entry->seal_offset = (uint32_t)((char *)place - (char *)frame);
    entry->seal = *place;
    return true;
}

#endif

static bool set(struct tm_thread *thread, struct tm_cached_frame *entry, uint32_t floor)
{
    if (entry->proven != TM_PROVES_NOTHING && tm_seal_is_intact(entry)) {
        if (entry->proven <= floor)
            return false;
        entry->proven = floor;
        return true;
    }
    bool sealed = put(thread, entry);
    entry->proven = sealed ? floor : TM_PROVES_NOTHING;
    return sealed;
}

void tm_seals_set(struct tm_thread *thread, struct tm_cached_frame *lowest, struct tm_cached_frame *highest,
                  uint32_t floor)
{
    bool any = false;
    for (struct tm_cached_frame *entry = lowest; tm_seals_allowed && entry <= highest; entry++)
        any |= set(thread, entry, floor);
    thread->seal_credit = 0;
    if (any || !thread->seal_price) /* 0: a new thread's */
        thread->seal_price = LOWEST_PRICE;
    else if (lowest <= highest && thread->seal_price < HIGHEST_PRICE)
        thread->seal_price = 2 * thread->seal_price + LOWEST_PRICE;
}

#ifdef TM_CHECK_SEALS
#include <stdio.h>

static uint64_t right;

void tm_seals_check(const struct tm_thread *thread, const struct tm_cached_frame *entry, uint32_t floor)
{
    for (; entry != &thread->cache[floor]; entry--) {
        bool same = tm_frame_is_unsteady(entry->frame) || tm_frame_instruction(entry->frame) == entry->instruction;
        if (same && (void *)tm_frame_older(entry->frame) == entry[-1].frame)
            continue;
        fprintf(stderr, "tm: an intact seal, but %s of entry %d changed\n", same ? "the caller" : "the instruction",
                (int)(entry - thread->cache));
        abort();
    }
    __atomic_fetch_add(&right, 1, __ATOMIC_RELAXED);
}

void tm_seals_check_newest(const struct tm_thread *thread, const struct tm_cached_frame *newest)
{
    if ((void *)tm_frame_older(newest->frame) != newest[-1].frame) {
        fprintf(stderr, "tm: an intact seal, but the newest frame's caller changed\n");
        abort();
    }
    if (newest - 1 > &thread->cache[newest->floor])
        tm_seals_check(thread, newest - 1, newest->floor);
}

__attribute__((destructor)) static void report(void)
{
    fprintf(stderr, "tm: %llu seals proved what they should\n", (unsigned long long)right);
}
#endif

#endif
