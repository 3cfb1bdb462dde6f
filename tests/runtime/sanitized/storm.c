/* SPDX-License-Identifier: MIT */
/*
 * Threads that call, return, switch stacks as greenlets do, allocate in every domain, free one another's blocks and drop
 * code objects, each at its own pace.  In the end every live block must name the frames that it was made under, and the
 * totals must equal a full scan.  `switch`: somebody stops, starts and clears all the while, with more frames or fewer; then
 * that must hold for the blocks that nothing came between.
 *
 *   storm STEPS FRAMES [switch]
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/map.h"
#include "runtime/table.h"
#include "stand_in.h"

#ifdef STAND_IN_FITS

#define THREADS 4
#define LIVE 512
#define SHARED_CODES 8
#define OWN_CODES 4
#define MAX_FRAMES 32
#define FOREIGN 50 /* of a thread */

struct made {
    void *block;
    size_t size;
    int frames;
    int lines[MAX_FRAMES]; /* newest first */
    long period;           /* in which it was made */
};

static PyCodeObject *shared_codes[SHARED_CODES];
static _Atomic(struct made *) mailbox[64];
static atomic_long wrong;
static int steps;
static int frame_limit;
static atomic_long period; /* odd: tracing is being switched, or off */
static atomic_long rounds; /* of switching */
static long wanted_rounds;
static atomic_bool over;
static atomic_bool settled; /* nobody switches any more */

static uint32_t next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33);
}

static int domain_of(const struct made *made)
{
    return (int)(made->size % 3);
}

static void complain(const struct made *made, const char *what)
{
    if (atomic_fetch_add(&wrong, 1) < 3)
        fprintf(stderr, "%s: block of %zu bytes, %d frames, line %d\n", what, made->size, made->frames, made->lines[0]);
}

/* Lines are unique over all codes, so that they tell the frames. */
static void check(const struct made *made)
{
    const uint64_t *slot = tm_map_find_slot((uintptr_t)made->block);
    uint64_t value = slot ? __atomic_load_n(slot, __ATOMIC_ACQUIRE) : 0;
    uint32_t stack = tm_slot_stack(value);
    if (made->period % 2)
        return;
    if (!stack || tm_slot_size((uintptr_t)made->block, value) != made->size) {
        if (atomic_load(&period) == made->period)
            complain(made, "no trace");
        return;
    }
    for (int i = 0; i < made->frames; i++) {
        const struct tm_stack *entry = tm_table_at(&tm_runtime.state->stacks, stack);
        const struct tm_location *location = tm_table_at(&tm_runtime.state->locations, entry->location);
        if (location->lineno != (uint32_t)made->lines[i]) {
            if (atomic_load(&period) == made->period)
                complain(made, "wrong line");
            return;
        }
        stack = entry->parent;
    }
}

static int line_of(const tm_frame *frame)
{
    const PyCodeObject *code = (PyCodeObject *)frame->f_executable;
    return code->co_firstlineno + (int)((frame->instr_ptr - (_Py_CODEUNIT *)code->co_code_adaptive) / UNITS_PER_LINE);
}

static struct made *make(struct stand_in *self, uint64_t *seed)
{
    struct made *made = malloc(sizeof(*made));
    made->size = 1 + next(seed) % 600;
    const PyMemAllocatorEx *allocator = &allocators[domain_of(made)];
    bool attach = domain_of(made) != RAW || next(seed) % 2;

    made->frames = 0;
    made->period = atomic_load(&period);
    for (int i = self->stack->depth; i-- && made->frames < frame_limit;)
        made->lines[made->frames++] = line_of(&self->stack->frames[i]);
    if (attach)
        stand_in_attach(self);
    if (next(seed) % 4)
        made->block = allocator->malloc(allocator->ctx, made->size);
    else
        made->block = allocator->realloc(allocator->ctx, allocator->calloc(allocator->ctx, 3, 7), made->size);
    if (attach)
        stand_in_detach();
    memset(made->block, 1, made->size);
    if (atomic_load(&period) != made->period)
        made->period = 1; /* who knows */
    return made;
}

static void drop(struct stand_in *self, struct made *made)
{
    const PyMemAllocatorEx *allocator = &allocators[domain_of(made)];
    check(made);
    if (domain_of(made) != RAW)
        stand_in_attach(self);
    allocator->free(allocator->ctx, made->block);
    if (domain_of(made) != RAW)
        stand_in_detach();
    free(made);
}

static PyCodeObject *new_code(struct stand_in *self)
{
    static atomic_int lines = 100000;
    char name[32];
    int line = atomic_fetch_add(&lines, 1000);
    snprintf(name, sizeof(name), "f%d", line);
    stand_in_attach(self);
    PyCodeObject *code = stand_in_code("own.py", name, line);
    stand_in_detach();
    return code;
}

/* All frames go, then the codes of this thread may. */
static void renew_codes(struct stand_in *self, PyCodeObject **own)
{
    for (int i = 0; i < STACKS; i++)
        for (stand_in_switch(self, i); self->stack->depth;)
            stand_in_pop(self);
    for (int i = 0; i < OWN_CODES; i++) {
        stand_in_attach(self);
        if (own[i])
            stand_in_drop(own[i]);
        stand_in_detach();
        own[i] = new_code(self);
    }
}

static void *run(void *argument)
{
    uint64_t seed = (uintptr_t)argument;
    struct stand_in *self = calloc(1, sizeof(*self));
    struct made **live = calloc(LIVE, sizeof(struct made *)); // NOLINT(bugprone-sizeof-expression)
    PyCodeObject *own[OWN_CODES] = {0};
    stand_in_enter(self);
    renew_codes(self, own);

    /* At least so long; and a while after the last switch, so that something stays. */
    int rest = steps / 10 + 1;
    for (int step = 0; rest; step++) {
        uint32_t choice = next(&seed) % 16;
        if (choice < 4 && self->stack->depth < MAX_DEPTH - 1)
            stand_in_push(self,
                          next(&seed) % 2 ? own[next(&seed) % OWN_CODES] : shared_codes[next(&seed) % SHARED_CODES]);
        else if (choice < 8 && self->stack->depth > 1)
            stand_in_pop(self);
        else if (choice == 8 && next(&seed) % 64 == 0)
            renew_codes(self, own);
        if (next(&seed) % 16 == 0)
            stand_in_switch(self, (int)(next(&seed) % STACKS));
        if (!self->stack->depth)
            stand_in_push(self, own[0]);
        PyCodeObject *code = (PyCodeObject *)self->stack->frames[self->stack->depth - 1].f_executable;
        stand_in_go(self, self->stack->depth - 1,
                    code->co_firstlineno + (int)(next(&seed) % (CODE_UNITS / UNITS_PER_LINE)));

        if (step >= steps && atomic_load(&rounds) >= wanted_rounds) {
            atomic_store(&over, true);
            rest -= atomic_load(&settled);
        }
        if (choice == 9 && tm_is_tracing())
            tm_foreign_track(7, FOREIGN * (uintptr_t)argument + next(&seed) % FOREIGN, 100, tm_current_stack());
        else if (choice == 10)
            tm_foreign_untrack(7, FOREIGN * (uintptr_t)argument + next(&seed) % FOREIGN);
        struct made **place = &live[next(&seed) % LIVE];
        if (*place && choice % 2)
            *place = atomic_exchange(&mailbox[next(&seed) % 64], *place); /* somebody else's to free */
        if (*place)
            drop(self, *place);
        *place = make(self, &seed);
    }
    for (int i = 0; i < LIVE; i++)
        if (live[i])
            check(live[i]);
    for (int i = 0; i < FOREIGN; i++) /* the scan in the end is one of the map */
        tm_foreign_untrack(7, FOREIGN * (uintptr_t)argument + (uintptr_t)i);
    return NULL;
}

/* Off, wiped, on again: what the hooks of other threads are just doing is waited for. */
static void *switch_tracing(void *argument)
{
    uint64_t seed = 99;
    uint64_t peak;
    (void)argument;
    struct stand_in *self = calloc(1, sizeof(*self));
    stand_in_enter(self);
    for (; !atomic_load(&over); atomic_fetch_add(&rounds, 1)) {
        stand_in_attach(self);
        atomic_fetch_add(&period, 1);
        if (next(&seed) % 2) {
            tm_clear();
        } else {
            tm_stop();
            stand_in_detach();
            sched_yield();
            stand_in_attach(self);
            tm_start((uint32_t)(frame_limit + next(&seed) % 2 * 3));
        }
        atomic_fetch_add(&period, 1);
        stand_in_detach();
        for (int i = 0; i < 3; i++) {
            stand_in_attach(self);
            tm_reset_peak();
            if (tm_traced_bytes(&peak) > peak)
                atomic_fetch_add(&wrong, 1);
            stand_in_detach();
            usleep(200); /* a mutex is not fair: others may never get this one from somebody who only yields */
        }
    }
    atomic_store(&settled, true);
    return NULL;
}

static void add(uintptr_t address, uint64_t slot, uint64_t size, void *total)
{
    (void)address, (void)slot;
    *(uint64_t *)total += size;
}

int main(int argc, char **argv)
{
    steps = argc > 1 ? atoi(argv[1]) : 20000;
    frame_limit = argc > 2 ? atoi(argv[2]) : 25;
    if (!tm_start((uint32_t)frame_limit))
        return 2;
    for (int i = 0; i < SHARED_CODES; i++)
        shared_codes[i] = stand_in_code("shared.py", "shared", 1000 + i * 1000);
    bool switches = argc > 3;
    wanted_rounds = switches ? 50 : 0;
    atomic_store(&settled, !switches);
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run, (void *)(i + 1));
    pthread_t switcher;
    if (switches)
        pthread_create(&switcher, NULL, switch_tracing, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (switches)
        pthread_join(switcher, NULL);

    uint64_t scanned = 0;
    uint64_t peak;
    tm_map_visit(add, &scanned);
    uint64_t live = tm_traced_bytes(&peak);
    printf("live %llu, scanned %llu, lost %llu, wrong %ld, switched %ld\n", (unsigned long long)live,
           (unsigned long long)scanned, (unsigned long long)tm_runtime.state->lost / TM_COUNT_STEP, (long)wrong,
           (long)rounds);
    return live != scanned || tm_runtime.state->lost || wrong || !live;
}

#endif
