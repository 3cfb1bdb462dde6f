/* SPDX-License-Identifier: MIT */
#include "seals.h"

static bool allowed;

/* Where nothing was said, a JIT is on if CPython was configured so; PYTHON_JIT says otherwise, unless -E or -I is given, which
 * cannot be known here (Python/pylifecycle.c, init_interp_main). */
void tm_seals_configure(void)
{
#ifdef TM_JIT_BY_DEFAULT
    allowed = false;
#else
    const char *wish = getenv("PYTHON_JIT");
    allowed = !wish || !*wish || *wish == '0';
#endif
}

void tm_seals_forget(struct tm_thread *thread)
{
    if (thread->capacity)
        for (struct tm_cached_frame *entry = thread->newest; entry >= thread->cache; entry--)
            entry->proven = TM_PROVES_NOTHING;
}

#ifdef TM_FRAMES_CAN_BE_SEALED

/* Steps of verifying that seals might have spared, before any are set: to set one costs as much as a few steps, and many
 * frames return before it is of use.  The price goes up while there is nothing that can be sealed. */
#define LOWEST_PRICE 16
#define HIGHEST_PRICE 4096

#ifdef TM_FRAMES_CAN_BE_MARKED

static bool put(struct tm_thread *thread, struct tm_cached_frame *entry)
{
    (void)thread;
    return tm_seal_is_intact(entry) || tm_frame_mark(entry[1].frame);
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
    uint64_t *place =
        entry->location != TM_LOCATION_HIDDEN ? tm_frame_free_place(entry[0].frame, entry[1].frame) : NULL;
    if (!place)
        return false;
    entry->seal_place = place;
    entry->seal = *place = new_value(thread);
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
    for (struct tm_cached_frame *entry = lowest; allowed && entry <= highest; entry++)
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
        bool same = tm_frame_instruction(entry->frame) == entry->instruction;
        if (same && (void *)tm_frame_older(entry->frame) == entry[-1].frame)
            continue;
        fprintf(stderr, "tm: an intact seal, but %s of entry %d changed\n", same ? "the caller" : "the instruction",
                (int)(entry - thread->cache));
        abort();
    }
    __atomic_fetch_add(&right, 1, __ATOMIC_RELAXED);
}

__attribute__((destructor)) static void report(void)
{
    fprintf(stderr, "tm: %llu seals proved what they should\n", (unsigned long long)right);
}
#endif

#endif
