/* SPDX-License-Identifier: MIT */
/*
 * The allocator hooks.  In the common case a hook takes no lock, makes no system call, calls nothing of CPython but the
 * allocator below and the accessor of the current thread state, and never fails an allocation that the allocator below
 * would have served: what cannot be recorded is counted as lost.
 *
 * The hooks are installed once and stay; stop() clears a flag.  PyMem_SetAllocator copies five words without a lock, so
 * another thread may call with a torn mixture of old and new: `ctx` therefore stays the original's, and the originals are
 * found statically (python/cpython gh-131566, gh-143143).
 */
#include "frames.h"
#include "map.h"
#include "stack_cache.h"
#include "tstate.h"

enum domain {
    RAW = PYMEM_DOMAIN_RAW,
    MEM = PYMEM_DOMAIN_MEM,
    OBJ = PYMEM_DOMAIN_OBJ,
};

static PyMemAllocatorEx original[3];

/* Blocks of at least 16 bytes never share a granule; some allocators (jemalloc, tcmalloc, mimalloc) have smaller ones. */
static TM_ALWAYS_INLINE size_t at_least_a_granule(size_t size)
{
    return size < 1 << TM_GRANULE_BITS ? 1 << TM_GRANULE_BITS : size;
}

/* ---- totals -------------------------------------------------------------------------------------------------------------- */

static TM_ALWAYS_INLINE struct tm_totals *totals_of(uint32_t shard, uint32_t stack)
{
    const char *chunk = (const char *)tm_runtime.totals[shard][stack >> TM_STACK_CHUNK_SHIFT];
    struct tm_totals *totals = (struct tm_totals *)(chunk + sizeof(struct tm_chunk));
    return &totals[stack & ((1u << TM_STACK_CHUNK_SHIFT) - 1)];
}

/* The same of the first shard, in fewer steps: by chunk, where stack 0 would have its totals if all were in one. */
static uintptr_t plain_totals[TM_MAX_STACKS >> TM_STACK_CHUNK_SHIFT];

void tm_totals_know(uint32_t first, const struct tm_totals *totals)
{
    plain_totals[first >> TM_STACK_CHUNK_SHIFT] = (uintptr_t)totals - first * sizeof(*totals);
}

static TM_ALWAYS_INLINE struct tm_totals *plain_totals_of(uint32_t stack)
{
    return (struct tm_totals *)(plain_totals[stack >> TM_STACK_CHUNK_SHIFT] + stack * sizeof(struct tm_totals));
}

static int64_t live_bytes(void)
{
    int64_t live = 0;
    for (int i = 0; i < TM_SHARDS; i++)
        live += __atomic_load_n(&tm_runtime.state->shards[i].live_bytes, __ATOMIC_RELAXED);
    return live;
}

/* `blocks`: times TM_COUNT_STEP, here and below. */
static TM_NOINLINE void add_atomically(uint32_t shard, uint32_t stack, int64_t bytes, int64_t blocks)
{
    struct tm_totals *totals = totals_of(shard, stack);
    struct tm_shard *own = &tm_runtime.state->shards[shard];
    __atomic_fetch_add(&totals->bytes, bytes, __ATOMIC_RELAXED);
    __atomic_fetch_add(&totals->blocks, blocks, __ATOMIC_RELAXED);
    __atomic_fetch_add(&own->live_bytes, bytes, __ATOMIC_RELAXED);
    if (bytes > 0) {
        uint64_t live = (uint64_t)live_bytes();
        uint64_t peak = __atomic_load_n(&own->peak, __ATOMIC_RELAXED);
        while ((int64_t)live > (int64_t)peak &&
               !__atomic_compare_exchange_n(&own->peak, &peak, live, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            ;
        if (TM_UNLIKELY((int64_t)live > 0 && live >= __atomic_load_n(&tm_runtime.limit, __ATOMIC_RELAXED)))
            tm_limit_crossed(live);
    }
}

/* The caller holds the main interpreter's GIL, and with it the first shard.  Returns the live bytes that are a new peak at
 * or above the limit, otherwise 0. */
static TM_ALWAYS_INLINE uint64_t add_plainly(uint32_t stack, int64_t bytes, int64_t blocks)
{
    struct tm_totals *totals = plain_totals_of(stack);
    struct tm_state *state = tm_runtime.state;
    struct tm_shard *own = &state->shards[TM_SHARD_GIL];
    int64_t live = own->live_bytes + bytes;
    /* Two stores of 8 bytes, always: one of 16 that meets one of 8 stalls store forwarding (12 % of a free, measured). */
    __atomic_store_n(&totals->bytes, totals->bytes + bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&totals->blocks, totals->blocks + blocks, __ATOMIC_RELAXED);
    __atomic_store_n(&own->live_bytes, live, __ATOMIC_RELAXED);
    if (blocks > 0) {
#ifdef Py_GIL_DISABLED
        live = live_bytes();
#else
        live += __atomic_load_n(&state->shards[1].live_bytes, __ATOMIC_RELAXED);
#endif
        if (TM_UNLIKELY(live > (int64_t)own->peak)) {
            own->peak = (uint64_t)live;
            if (TM_UNLIKELY((uint64_t)live >= __atomic_load_n(&tm_runtime.limit, __ATOMIC_RELAXED)))
                return (uint64_t)live;
        }
    }
    return 0;
}

/* `plain`: see add_plainly. */
static void add_totals(struct tm_thread *thread, bool plain, uint32_t stack, int64_t bytes, int64_t blocks)
{
    if (!plain) {
        add_atomically(thread->shard, stack, bytes, blocks);
        return;
    }
    uint64_t crossed = add_plainly(stack, bytes, blocks);
    if (crossed)
        tm_limit_crossed(crossed);
}

void tm_totals_add_shared(uint32_t stack, int64_t bytes, int64_t blocks)
{
    add_atomically(1, stack, bytes, blocks * TM_COUNT_STEP);
}

/* ---- who is calling ---------------------------------------------------------------------------------------------------------- */

static TM_ALWAYS_INLINE bool many_gils(void)
{
    return tm_epoch() & TM_MANY_GILS;
}

#if PY_VERSION_HEX >= 0x030C0000 && !defined(Py_GIL_DISABLED)
/* PEP 684: an interpreter may have a GIL of its own.  NULL: not asked for yet. */
static PyInterpreterState *main_interpreter;
#endif

/* False, too: not known. */
static TM_ALWAYS_INLINE bool is_of_main_interpreter(const PyThreadState *tstate)
{
#ifdef Py_GIL_DISABLED
    (void)tstate;
    return false;
#elif PY_VERSION_HEX >= 0x030C0000
    return TM_LIKELY(tstate->interp == __atomic_load_n(&main_interpreter, __ATOMIC_RELAXED));
#else
    (void)tstate;
    return true;
#endif
}

/* Does a holder of this thread state own the first shard? */
static TM_ALWAYS_INLINE bool owns_first_shard(const PyThreadState *tstate)
{
#ifdef Py_GIL_DISABLED
    (void)tstate;
    return false;
#elif PY_VERSION_HEX >= 0x030C0000
    if (TM_LIKELY(tstate && is_of_main_interpreter(tstate)))
        return true;
    PyInterpreterState *main = __atomic_load_n(&main_interpreter, __ATOMIC_RELAXED);
    if (!main) {
        main = PyInterpreterState_Main();
        __atomic_store_n(&main_interpreter, main, __ATOMIC_RELAXED);
    }
    if (!tstate || tstate->interp == main)
        return !many_gils(); /* no thread state: before or after everything else, or a mistake */
    __atomic_fetch_or(&tm_runtime.epoch, TM_MANY_GILS, __ATOMIC_SEQ_CST);
    return false;
#else
    (void)tstate;
    return true;
#endif
}

/* The stack of any caller.  The common case trusts stamps (common_stack), so only frames of the main interpreter keep theirs. */
static TM_ALWAYS_INLINE uint32_t any_stack(struct tm_thread *thread, const PyThreadState *tstate)
{
    uint32_t stack = tm_stack_of(thread, tstate);
    if (TM_UNLIKELY(!is_of_main_interpreter(tstate)) && stack)
        thread->newest->stamp = TM_NO_STAMP;
    return stack;
}

/* A thread that does not hold the GIL: its frames may be walked all the same, for only the thread itself moves them, but
 * not after finalization has freed its state.  PyGILState_GetThisThreadState reads a thread-specific value, no more. */
static TM_NOINLINE uint32_t detached_stack(struct tm_thread *thread)
{
    const PyThreadState *tstate = PyGILState_GetThisThreadState();
#if PY_VERSION_HEX >= 0x030D0000
    bool only_attached = Py_IsFinalizing();
#else
    bool only_attached = _Py_IsFinalizing();
#endif
    if (!tstate || (only_attached && tstate != tm_tstate_attached()))
        return TM_STACK_UNKNOWN;
    uint32_t stack = any_stack(thread, tstate);
#ifdef TM_COPIES_OF_BYTECODE
    if (!stack) /* the kernel would not tell (seccomp) */
        return TM_STACK_UNKNOWN;
#endif
    return stack;
}

/* The same for the hooks' common case: the stack of a caller who owns the first shard.  TM_STACK_NONE: ask origin_of().
 * An intact stamp tells who calls, too: any_stack() takes those of others away. */
static TM_ALWAYS_INLINE uint32_t common_stack(struct tm_thread *thread)
{
    const PyThreadState *tstate = __atomic_load_n((PyThreadState *const *)thread->tstate_place, __ATOMIC_RELAXED);
    uint64_t epoch = tm_epoch();
    if (TM_UNLIKELY(thread->epoch != epoch) || TM_UNLIKELY(!tstate))
        return TM_STACK_NONE;
#ifndef TM_FRAMES_CAN_BE_STAMPED
    if (TM_UNLIKELY(!is_of_main_interpreter(tstate)))
        return TM_STACK_NONE;
#endif
    tm_frame *newest = tm_frame_newest(tstate);
    uint32_t stack;
    if (TM_LIKELY(tm_stack_is_proven(thread, tstate, newest)))
        stack = tm_stack_proven(thread, newest);
    else if (TM_LIKELY(is_of_main_interpreter(tstate)))
        stack = tm_stack_changed(thread, tstate, newest);
    else
        return TM_STACK_NONE;
    if (stack >= TM_MAX_STACKS)
        __builtin_unreachable();
    return stack;
}

/* Where a block comes from: a stack's number (TM_STACK_NONE: no memory for it), and this flag unless the caller owns the
 * first shard. */
#define SHARED (UINT32_C(1) << 31)

/* Bigger blocks are not the common case: this fits into an instruction, is below TM_SLOT_SIZE_BIG, and one bit of a slot tells. */
#define COMMON_SIZE INT32_MAX

static TM_ALWAYS_INLINE uint32_t origin_of(struct tm_thread *thread, enum domain domain)
{
    if (domain == RAW)
        return SHARED | detached_stack(thread);
    const PyThreadState *tstate = tm_tstate_current(thread);
    uint32_t stack = TM_LIKELY(tstate != NULL) ? any_stack(thread, tstate) : TM_STACK_UNKNOWN;
    return TM_LIKELY(owns_first_shard(tstate)) ? stack : SHARED | stack;
}

/* Marks a thread as being in a hook. */
static TM_ALWAYS_INLINE void begin(struct tm_thread *thread)
{
    __atomic_store_n(&thread->busy, 1, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* tm_threads_quiesce() fences for both sides */
}

static TM_ALWAYS_INLINE void leave(struct tm_thread *thread)
{
    __atomic_store_n(&thread->busy, 0, __ATOMIC_RELEASE);
}

uint32_t tm_current_stack(void)
{
    struct tm_thread *thread = tm_thread_get();
    uint32_t stack = TM_STACK_UNKNOWN;
    if (!thread)
        return stack;
    uint32_t busy = thread->busy;
    begin(thread); /* start() may change the frame limit, and with it the cache */
    if (tm_is_tracing())
        stack = detached_stack(thread);
    __atomic_store_n(&thread->busy, busy, __ATOMIC_RELEASE);
    return stack;
}

/* The calling thread, marked as being in a hook; NULL when this call is not to be traced. */
static TM_ALWAYS_INLINE struct tm_thread *enter(void)
{
    struct tm_thread *thread = tm_self;
    if (TM_UNLIKELY(thread->busy)) {
        if (thread != &tm_nobody || !tm_is_tracing() || !(thread = tm_thread_create()))
            return NULL;
    }
    begin(thread);
    if (TM_UNLIKELY(!tm_is_tracing())) {
        leave(thread);
        return NULL;
    }
    return thread;
}

/* ---- a block comes, a block goes ----------------------------------------------------------------------------------------- */

/*
 * Each of these has a common case, which is inlined into the hooks and calls nothing, and a function that handles all
 * cases: a call in the common case would have the hook save registers for it, a tenth of its time.
 */

/* Raw memory and builds without the GIL have none: their totals are shared. */
static TM_ALWAYS_INLINE bool has_common_case(enum domain domain)
{
#ifdef Py_GIL_DISABLED
    (void)domain;
    return false;
#else
    return domain != RAW;
#endif
}

static TM_ALWAYS_INLINE bool frees_plainly(enum domain domain)
{
    return has_common_case(domain) && (TM_LIKELY(!many_gils()) || owns_first_shard(tm_tstate_attached()));
}

/* A slot without flags, of a block that is not bigger than is common. */
static TM_ALWAYS_INLINE bool is_ordinary(uint64_t slot)
{
    const uint64_t uncommon = TM_SLOT_EXTENSION | TM_SLOT_CODE | ((uint64_t)COMMON_SIZE + 1);
    return TM_LIKELY(slot != 0) && TM_LIKELY(!(slot & uncommon));
}

/* Takes a block out of the map and gives its slot's value; 0: it was not there. */
static uint64_t take_out(uintptr_t address, uint64_t *size)
{
    uint64_t *slot = tm_map_find_slot(address);
    if (!slot)
        return 0;
    uint64_t value = __atomic_load_n(slot, __ATOMIC_RELAXED);
    if (!value || value & TM_SLOT_EXTENSION)
        return 0;
    *size = tm_slot_size(address, value);
    if (value & TM_SLOT_CODE)
        tm_code_died(address);
    tm_slot_retract(address, slot, value);
    return value;
}

static void subtract(struct tm_thread *thread, enum domain domain, uint64_t slot, uint64_t size)
{
    uint32_t stack = tm_slot_stack(slot);
    if (stack)
        add_totals(thread, frees_plainly(domain), stack, -(int64_t)size, -TM_COUNT_STEP);
}

static TM_NOINLINE void forget(struct tm_thread *thread, enum domain domain, void *block)
{
    uint64_t size;
    uint64_t slot = take_out((uintptr_t)block, &size);
    if (slot)
        subtract(thread, domain, slot, size);
}

/* The same, while others may start, stop or clear. */
static void forget_among_many(enum domain domain, void *block)
{
    struct tm_thread *thread = tm_thread_get();
    if (TM_UNLIKELY(!thread))
        return;
    uint32_t busy = thread->busy;
    begin(thread);
    if (TM_LIKELY(tm_is_tracing()))
        forget(thread, domain, block);
    __atomic_store_n(&thread->busy, busy, __ATOMIC_RELEASE);
}

static TM_NOINLINE void *record_slowly(struct tm_thread *thread, enum domain domain, uint32_t origin, void *block,
                                       size_t size)
{
    uintptr_t address = (uintptr_t)block;
    uint32_t stack = origin & ~SHARED;
    uint64_t *slot = block ? tm_map_slot(address) : NULL;
    if (slot && !(origin & SHARED))
        tm_map_know(address, slot);
    /* A trace may stand there still: CPython swaps allocators while it starts and ends, so a free can pass us by. */
    if (slot && !tm_is_zero_before_writing(slot))
        forget(thread, domain, block);
    if (slot && stack && tm_slot_publish(address, slot, stack, size))
        add_totals(thread, !(origin & SHARED), stack, (int64_t)size, TM_COUNT_STEP);
    else if (block)
        tm_lost();
    leave(thread);
    return block;
}

static TM_NOINLINE void *limit_crossed(struct tm_thread *thread, void *block, uint64_t live)
{
    tm_limit_crossed(live);
    leave(thread);
    return block;
}

/* The end of a hook: records a block that the allocator below has given (or not), and returns it. */
static TM_ALWAYS_INLINE void *record(struct tm_thread *thread, enum domain domain, uint32_t origin, void *block,
                                     size_t size)
{
    if (TM_UNLIKELY(origin - 1 >= TM_SLOT_STACK_MASK) || TM_UNLIKELY(size > COMMON_SIZE))
        return record_slowly(thread, domain, origin, block, size);
    uint64_t *slot = tm_map_known_slot((uintptr_t)block); /* NULL has none */
    if (TM_UNLIKELY(!slot) || TM_UNLIKELY(!tm_is_zero_before_writing(slot)))
        return record_slowly(thread, domain, origin, block, size);
    __atomic_store_n(slot, (uint64_t)origin << TM_SLOT_STACK_SHIFT | size, __ATOMIC_RELEASE);
    tm_map_expect_above(slot);
    uint64_t crossed = add_plainly(origin, (int64_t)size, TM_COUNT_STEP);
    if (TM_UNLIKELY(crossed))
        return limit_crossed(thread, block, crossed);
    leave(thread);
    return block;
}

/* ---- the hooks ---------------------------------------------------------------------------------------------------------------- */

/* Begins the common case of a hook: gives the stack, which is looked up before the allocator is called, so that afterwards
 * nothing needs a call.  TM_STACK_NONE: it is not the common case, and nothing has begun.  After stop() it never is: then
 * hooks forward at once. */
static TM_ALWAYS_INLINE uint32_t begin_common_case(enum domain domain, struct tm_thread *thread)
{
    if (!has_common_case(domain) || TM_UNLIKELY(thread->busy))
        return TM_STACK_NONE;
    begin(thread);
    uint32_t stack = common_stack(thread);
    if (TM_UNLIKELY(!stack))
        leave(thread);
    return stack;
}

static TM_NOINLINE void *malloc_slowly(enum domain domain, size_t size)
{
    const PyMemAllocatorEx *below = &original[domain];
    struct tm_thread *thread = enter();
    if (TM_UNLIKELY(!thread))
        return below->malloc(below->ctx, at_least_a_granule(size));
    uint32_t origin = origin_of(thread, domain);
    return record(thread, domain, origin, below->malloc(below->ctx, at_least_a_granule(size)), size);
}

static TM_ALWAYS_INLINE void *hook_malloc(enum domain domain, size_t size)
{
    const PyMemAllocatorEx *below = &original[domain];
    struct tm_thread *thread = tm_self;
    /* What an outer hook asked for: pymalloc gets its big blocks from the raw domain. */
    if (!has_common_case(domain) && thread->busy && thread != &tm_nobody)
        return below->malloc(below->ctx, at_least_a_granule(size));
    /* No object is smaller than a granule: so that need not be asked twice. */
    const size_t least = domain == OBJ ? at_least_a_granule(0) : 0;
    bool common = TM_LIKELY(size - least <= COMMON_SIZE - least);
    uint32_t stack = common ? begin_common_case(domain, thread) : TM_STACK_NONE;
    if (TM_UNLIKELY(!stack))
        return tm_is_tracing() ? malloc_slowly(domain, size) : below->malloc(below->ctx, at_least_a_granule(size));
    size_t asked = least ? size : at_least_a_granule(size);
    return record(thread, domain, stack, below->malloc(below->ctx, asked), size);
}

static TM_NOINLINE void *calloc_slowly(enum domain domain, size_t count, size_t asked, size_t size)
{
    const PyMemAllocatorEx *below = &original[domain];
    struct tm_thread *thread = enter();
    if (TM_UNLIKELY(!thread))
        return below->calloc(below->ctx, count, asked);
    uint32_t origin = origin_of(thread, domain);
    void *block = below->calloc(below->ctx, count, asked);
    return record(thread, domain, origin, block, count * size); /* does not overflow: calloc served it */
}

static TM_ALWAYS_INLINE void *hook_calloc(enum domain domain, size_t count, size_t size)
{
    const PyMemAllocatorEx *below = &original[domain];
    if (size == 0 || count < at_least_a_granule(1) / size + 1) { /* tiny */
        size = count * size;
        count = 1;
    }
    size_t asked = count == 1 ? at_least_a_granule(size) : size;
    struct tm_thread *thread = tm_self;
    uint32_t stack = begin_common_case(domain, thread);
    if (TM_UNLIKELY(!stack))
        return tm_is_tracing() ? calloc_slowly(domain, count, asked, size) : below->calloc(below->ctx, count, asked);
    void *block = below->calloc(below->ctx, count, asked);
    return record(thread, domain, stack, block, count * size);
}

/* Of a block: realloc() of NULL is malloc(). */
static TM_NOINLINE void *realloc_slowly(enum domain domain, void *block, size_t size)
{
    const PyMemAllocatorEx *below = &original[domain];
    struct tm_thread *thread = enter();
    /* While an answer is made nothing is traced, but what a traced block held must not stay in the table. */
    bool paused = !thread && TM_UNLIKELY(tm_self->busy == TM_PAUSED) && tm_is_tracing();
    if (TM_UNLIKELY(paused)) {
        thread = tm_self;
        begin(thread);
        if (!tm_is_tracing()) {
            __atomic_store_n(&thread->busy, TM_PAUSED, __ATOMIC_RELEASE);
            thread = NULL;
        }
    }
    if (!thread)
        return below->realloc(below->ctx, block, at_least_a_granule(size));

    uint32_t origin = TM_LIKELY(!paused) ? origin_of(thread, domain) : TM_STACK_NONE;
    /* Out before, not after: once realloc has freed the old block, its address and its slot are somebody else's. */
    uint64_t old_size = 0;
    uint64_t old = take_out((uintptr_t)block, &old_size);
    void *moved = below->realloc(below->ctx, block, at_least_a_granule(size));
    if (TM_UNLIKELY(!moved)) {
        if (tm_slot_stack(old)) /* the old block is still there */
            tm_slot_publish((uintptr_t)block, tm_map_find_slot((uintptr_t)block), tm_slot_stack(old), old_size);
    } else {
        if (old)
            subtract(thread, domain, old, old_size);
        if (TM_LIKELY(!paused))
            return record(thread, domain, origin, moved, size);
    }
    __atomic_store_n(&thread->busy, paused ? TM_PAUSED : 0, __ATOMIC_RELEASE);
    return moved;
}

static TM_ALWAYS_INLINE void *hook_realloc(enum domain domain, void *block, size_t size)
{
    const PyMemAllocatorEx *below = &original[domain];
    struct tm_thread *thread = tm_self;
    uint32_t stack = begin_common_case(domain, thread);
    if (TM_UNLIKELY(!stack))
        return tm_is_tracing() ? realloc_slowly(domain, block, size)
                               : below->realloc(below->ctx, block, at_least_a_granule(size));
    uint64_t *slot = tm_map_known_slot((uintptr_t)block);
    uint64_t old = TM_LIKELY(slot != NULL) ? __atomic_load_n(slot, __ATOMIC_RELAXED) : 0;
    if (TM_UNLIKELY(!is_ordinary(old))) {
        leave(thread);
        return realloc_slowly(domain, block, size);
    }
    __atomic_store_n(slot, 0, __ATOMIC_RELEASE); /* out before, as above */
    void *moved = below->realloc(below->ctx, block, at_least_a_granule(size));
    if (TM_UNLIKELY(!moved)) { /* the old block is still there */
        __atomic_store_n(slot, old, __ATOMIC_RELEASE);
        leave(thread);
        return moved;
    }
    add_plainly(tm_slot_stack(old), -(int64_t)(old & TM_SLOT_SIZE_MASK), -TM_COUNT_STEP);
    return record(thread, domain, stack, moved, size);
}

static TM_NOINLINE void free_slowly(enum domain domain, void *block)
{
    const PyMemAllocatorEx *below = &original[domain];
    if (!has_common_case(domain) || many_gils()) {
        forget_among_many(domain, block);
    } else {
        /* Under the GIL, as start(), stop() and clear(). */
        uint64_t *slot = tm_map_find_slot((uintptr_t)block);
        if (slot)
            tm_map_know((uintptr_t)block, slot);
        forget(NULL, domain, block);
    }
    below->free(below->ctx, block);
}

static TM_ALWAYS_INLINE void hook_free(enum domain domain, void *block)
{
    const PyMemAllocatorEx *below = &original[domain];
    /* Before the block is freed: afterwards another thread may own its slot (the reverse order loses traces). */
    if (has_common_case(domain) && TM_LIKELY(!(tm_epoch() & (TM_IDLE | TM_MANY_GILS)))) {
        uint64_t *slot = tm_map_known_slot((uintptr_t)block);
        uint64_t value = TM_LIKELY(slot != NULL) ? __atomic_load_n(slot, __ATOMIC_RELAXED) : 0;
        if (TM_LIKELY(is_ordinary(value))) {
            __atomic_store_n(slot, 0, __ATOMIC_RELEASE);
            tm_map_expect_beside(slot);
            add_plainly(tm_slot_stack(value), -(int64_t)(value & TM_SLOT_SIZE_MASK), -TM_COUNT_STEP);
        } else if (value || (!slot && block)) {
            return free_slowly(domain, block);
        }
    } else if (tm_is_tracing() && tm_map_holds((uintptr_t)block)) { /* not what an outer hook has let go of already */
        return free_slowly(domain, block);
    }
    below->free(below->ctx, block);
}

/* realloc() only chooses: inlined into it, the rest would have it save registers for a malloc(), too. */
#define HOOKS_OF(domain, prefix)                                                                                       \
    static void *prefix##_malloc(void *ctx, size_t size)                                                               \
    {                                                                                                                  \
        (void)ctx;                                                                                                     \
        return hook_malloc(domain, size);                                                                              \
    }                                                                                                                  \
    static void *prefix##_calloc(void *ctx, size_t count, size_t size)                                                 \
    {                                                                                                                  \
        (void)ctx;                                                                                                     \
        return hook_calloc(domain, count, size);                                                                       \
    }                                                                                                                  \
    static TM_NOINLINE void *prefix##_realloc_block(void *block, size_t size)                                          \
    {                                                                                                                  \
        return hook_realloc(domain, block, size);                                                                      \
    }                                                                                                                  \
    static void *prefix##_realloc(void *ctx, void *block, size_t size)                                                 \
    {                                                                                                                  \
        return block ? prefix##_realloc_block(block, size) : prefix##_malloc(ctx, size);                               \
    }                                                                                                                  \
    static void prefix##_free(void *ctx, void *block)                                                                  \
    {                                                                                                                  \
        (void)ctx;                                                                                                     \
        hook_free(domain, block);                                                                                      \
    }

HOOKS_OF(RAW, raw)
HOOKS_OF(MEM, mem)
HOOKS_OF(OBJ, obj)

/* ---- installation ---------------------------------------------------------------------------------------------------------- */

bool tm_hooks_installed(void)
{
    PyMemAllocatorEx current;
    if (!original[OBJ].malloc)
        return false;
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &current);
    /* CPython resets its allocators when PYTHONMALLOC or -X dev ask for it, at the very start. */
    return current.malloc != original[OBJ].malloc;
}

void tm_hooks_install(void)
{
    static const PyMemAllocatorEx ours[3] = {
        [RAW] = {NULL, raw_malloc, raw_calloc, raw_realloc, raw_free},
        [MEM] = {NULL, mem_malloc, mem_calloc, mem_realloc, mem_free},
        [OBJ] = {NULL, obj_malloc, obj_calloc, obj_realloc, obj_free},
    };
    if (tm_hooks_installed())
        return;
    for (int domain = 0; domain < 3; domain++) {
        PyMemAllocatorEx current;
        PyMem_GetAllocator((PyMemAllocatorDomain)domain, &current);
        if (current.malloc == ours[domain].malloc)
            continue;
        original[domain] = current;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        PyMemAllocatorEx hook = ours[domain];
        hook.ctx = current.ctx;
        PyMem_SetAllocator((PyMemAllocatorDomain)domain, &hook);
    }
}
