/* SPDX-License-Identifier: MIT */
/*
 * What the files of the runtime share.  Who calls whom:
 *
 *   preload.c (LD_PRELOAD) ─> boot.c ─┐
 *   module.c (import tm) ─────────────┴> control.c: start, stop, clear, fork ─> hooks.c: the allocator hooks
 *                                                                                  │ hot path, no lock, no CPython API
 *                       map.h: block address -> slot <─────────────────────────────┼─> stack_cache.h: frames -> stack
 *                                                                                  │     frames_3*.h per CPython
 *                       arena.c, table_file.c: all memory                          ▼
 *                       table.h: append-only tables, totals      intern.c: stacks, locations, strings, code objects
 *                       foreign.c: blocks of other domains                 (slow path, one lock)
 *                       limit.c, table_image.c: dump or core at a limit
 */
#ifndef TM_RUNTIME_H
#define TM_RUNTIME_H

#include <pyconfig.h> /* Py_GIL_DISABLED: all files must agree on how many shards there are */

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>

#include "layout.h"

#define TM_VERSION "0.1.0"

#define TM_LIKELY(x) __builtin_expect(!!(x), 1)
#define TM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define TM_ALWAYS_INLINE inline __attribute__((always_inline))
#define TM_NOINLINE __attribute__((noinline))
#define TM_EXPORT __attribute__((visibility("default")))
/* Said at a declaration, it spares every access the way through the global offset table. */
#define TM_HIDDEN __attribute__((visibility("hidden")))

/* Is a place zero that is about to be written, and that nobody else writes meanwhile?  Where its page was never touched, to
 * read first would cost two page faults: one that maps a page of zeros, and another one to replace it. */
static TM_ALWAYS_INLINE bool tm_is_zero_before_writing(uint64_t *place)
{
#ifdef __x86_64__
    bool zero;
    __asm__ volatile("orq $0, %1" : "=@ccz"(zero), "+m"(*place));
    return zero;
#else
    return !__atomic_load_n(place, __ATOMIC_RELAXED);
#endif
}

/* Multiply and fold (as in wyhash): one multiplication, and every bit of both counts. */
static TM_ALWAYS_INLINE uint64_t tm_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* A place for a key among 2^bits (Knuth's multiplicative hash). */
static TM_ALWAYS_INLINE uint32_t tm_spread(uint32_t key, uint32_t bits)
{
    return key * UINT32_C(0x9e3779b1) >> (32 - bits);
}

/* The same for a wide key, among 2^(64 - shift). */
static TM_ALWAYS_INLINE uint64_t tm_spread_wide(uint64_t key, uint32_t shift)
{
    return key * UINT64_C(0x9e3779b97f4a7c15) >> shift;
}

/* Shards of the live totals.  Whoever holds the main interpreter's GIL adds to the first without atomics; everybody else
 * (the raw domain, other GILs, foreign blocks) adds atomically to one of the others. */
#define TM_SHARD_GIL 0
#ifdef Py_GIL_DISABLED
#define TM_SHARDS TM_MAX_SHARDS
#else
#define TM_SHARDS 2
#endif

/* ---- the record of a thread: what a hook needs and nobody else touches ------------------------------------------- */

/* A location that does not exist: of frames that tracebacks do not show. */
#define TM_LOCATION_HIDDEN UINT32_MAX

/* See stack_cache.h for what this means, and seals.h. */
struct tm_cached_frame {
    void *frame;           /* the interpreter's frame */
    uintptr_t instruction; /* tm_frame_instruction() */
    uint64_t seal;         /* intact: this stands ... */
    uint64_t path;         /* hash of all locations from the cache's beginning */
    uint32_t seal_offset;  /* ... here in the frame */
    int32_t stamp;         /* seal of a frame that runs */
    uint32_t check;        /* 32 more bits of it */
    uint32_t stack;        /* TM_STACK_NONE: not asked for yet */
    uint32_t frames;       /* shown frames from the cache's beginning up to and including this one */
    uint32_t floor;        /* entries above this one must be verified for a traceback of frame_limit frames */
    uint32_t location;
    uint32_t proven; /* the lowest entry down to which an intact seal proves all links */
};

/* The outermost frame's entry is this one; below it is a sentinel, whose frame is the other where the cache was cut. */
#define TM_CACHE_BOTTOM 4
#define TM_STALE_FRAME ((void *)1)

/* Locations that this thread met lately, by instruction; with one frame, stacks. */
struct tm_recent_location {
    uintptr_t instruction;
    uint32_t location;
    uint32_t stack;
};

/* Stacks that this thread met lately, by path. */
struct tm_recent_stack {
    uint64_t path;
    uint32_t check;
    uint32_t stack;
};

#define TM_RECENT_LOCATION_BITS 10
#define TM_RECENT_STACK_BITS 9
#define TM_FOLLOWER_BITS 16          /* 1 MiB, of which is touched what is used */
#define TM_THREADS_WITH_FOLLOWERS 16 /* so programs of many threads do not pay for each of them */
#define TM_HINTS 256

/* Tracing is paused for the thread, while objects are made for an answer.  It may run Python code meanwhile, wait for the
 * GIL included, so nobody waits for it. */
#define TM_PAUSED 2

struct tm_thread {
    uint64_t epoch;                 /* of the cache; differs from tm_runtime.epoch: throw the cache away */
    uint32_t busy;                  /* 1: in a hook; an allocation from below is part of the outer one; TM_PAUSED */
    uint32_t shard;                 /* for totals without the main GIL */
    struct tm_cached_frame *newest; /* the newest frame's entry at the last call */
    void *const *tstate_place;      /* where the thread's state is found; see tstate.h */
    struct tm_cached_frame *cache;  /* [capacity] entries, outermost frame first */
    void **pending;                 /* [capacity] scratch of the resolver */
    uint64_t next_seal;
    uint32_t capacity;
    uint32_t seal_credit; /* see seals.c */
    uint32_t seal_price;
    uint32_t last_stamp;
    struct tm_thread *next; /* all threads ever, for quiescing */
    struct tm_thread *next_free;
    uint32_t hint[TM_HINTS]; /* hash of a frame's address -> entry */
    struct tm_recent_location locations[1 << TM_RECENT_LOCATION_BITS];
    struct tm_recent_stack stacks[1 << TM_RECENT_STACK_BITS];
    uint32_t last_found; /* the last stack that was not among those */
    struct tm_recent_stack
        *followers; /* [1 << TM_FOLLOWER_BITS] by its number: which came next, the last time; or NULL */
};

/* What a thread has that has no record yet: it is busy, so that hooks need not ask for more. */
extern struct tm_thread tm_nobody TM_HIDDEN;
extern __thread struct tm_thread *tm_self TM_HIDDEN __attribute__((tls_model("initial-exec")));
/* Makes the calling thread's record; NULL when there is no memory, or while the thread is dying. */
struct tm_thread *tm_thread_create(void);
/* Empties the cache, after fitting it to the current frame limit.  False: no memory. */
bool tm_thread_reset_cache(struct tm_thread *thread);

static TM_ALWAYS_INLINE struct tm_thread *tm_thread_get(void)
{
    struct tm_thread *thread = tm_self;
    return TM_LIKELY(thread != &tm_nobody) ? thread : tm_thread_create();
}

/* ---- what the whole process shares --------------------------------------------------------------------------------- */

/* Read in every hook, written hardly ever. */
struct tm_runtime {
    /* Goes up when a code object that stacks refer to dies, and at start() and clear(): what threads have cached is out of date
     * then, and, as it is of an epoch with tracing, also when tracing stops.  Its lowest bits are flags. */
    uint64_t epoch;
    uint32_t frame_limit;
    uint64_t *map; /* first directory of the address map: data, not chunk */
    struct tm_state *state;
    uint64_t *totals[TM_SHARDS]; /* directories: data */
    uint64_t limit;              /* live bytes at which tm_limit_crossed() is called */
};
extern struct tm_runtime tm_runtime TM_HIDDEN;

#define TM_IDLE 1      /* not tracing */
#define TM_MANY_GILS 2 /* an interpreter other than the main one has been seen at work */
#define TM_EPOCH 4     /* from one to the next */

static TM_ALWAYS_INLINE uint64_t tm_epoch(void)
{
    return __atomic_load_n(&tm_runtime.epoch, __ATOMIC_ACQUIRE);
}

/* To be asked again after `busy` was set, where the answer matters. */
static TM_ALWAYS_INLINE bool tm_is_tracing(void)
{
    return !(tm_epoch() & TM_IDLE);
}

/* What was cached of code is out of date. */
static inline void tm_next_epoch(void)
{
    __atomic_fetch_add(&tm_runtime.epoch, TM_EPOCH, __ATOMIC_SEQ_CST);
}

extern struct tm_root tm_root;

/* ---- arena.c ---------------------------------------------------------------------------------------------------------- */

#define TM_PAGE 4096

static inline size_t tm_round_to_page(size_t bytes)
{
    return (bytes + TM_PAGE - 1) & ~(size_t)(TM_PAGE - 1);
}

/* Maps a zeroed chunk with its header written; NULL (and nothing lost) when the kernel refuses. */
struct tm_chunk *tm_arena_chunk(enum tm_chunk_kind kind, uint32_t index, uint32_t data_offset, uint32_t element_size,
                                uint64_t capacity);
/* A leaf or directory that nobody has seen yet. */
void tm_arena_give_back(struct tm_chunk *chunk);
/* A page beside the table. */
void *tm_arena_page(void);
/* Zeroed memory of the runtime's own, which readers need not see. */
void *tm_arena_private(size_t bytes);
/* The same, of which every page is going to be written soon: all at once, that costs less. */
void *tm_arena_resident(size_t bytes);
/* Gives its pages back; the addresses stay taken. */
void tm_arena_release_private(void *memory);
/* Zeroes a chunk's elements and gives their pages back. */
void tm_arena_wipe(struct tm_chunk *chunk);
/* mincore(2): bit 0 of resident[i] tells of page i.  False: unknown. */
bool tm_arena_resident_pages(const void *start, size_t pages, unsigned char *resident);
/* Visits every chunk, those of private memory too. */
void tm_arena_each(void (*visit)(const struct tm_chunk *, void *), void *argument);

/* ---- resident.c ------------------------------------------------------------------------------------------------------- */

/* Bytes of physical memory under all of it. */
uint64_t tm_resident_bytes(void);

/* ---- table_file.c: a table that survives the process ------------------------------------------------------------------ */

/* Creates PYTHONTM_FILE, if that is set, and puts the table there; says so if that cannot be. */
void tm_file_configure(void);
/* The same for a pattern, in which "%p" is the pid.  False: errno tells; nothing was changed. */
bool tm_file_create(const char *pattern);
bool tm_file_in_use(void);
/* Once the root is complete: its copy at the beginning of the file makes the file readable. */
void tm_file_publish_root(void);
/* Zeroed, page-aligned memory at the end of the file; NULL when the disk is full. */
void *tm_file_map(size_t bytes);
/* Give a forked child a table of its own. */
void tm_file_before_fork(void);
void tm_file_after_fork_parent(void);
void tm_file_after_fork_child(void);
/* Writes the whole table to a new file of the same format, from C alone.  False: errno tells, no file is left. */
bool tm_file_write_image(const char *path);
/* Fills in "%p" (pid) and "%n" (a number).  False: too long. */
bool tm_file_expand(const char *pattern, uint32_t number, char *path, size_t size);
/* Creates a file that did not exist, for its owner alone; -1: errno tells. */
int tm_file_new(const char *path);
bool tm_file_write(int file, const char *bytes, size_t size, off_t offset);
/* Between these two, a file that becomes too long (ulimit -f) is an error and not a signal. */
struct tm_file_guard {
    sigset_t signal;
    sigset_t before;
    bool was_pending;
};
void tm_file_guard(struct tm_file_guard *guard);
void tm_file_unguard(const struct tm_file_guard *guard);

/* ---- limit.c: doing something before the memory is gone ---------------------------------------------------------------- */

/* Reads PYTHONTM_LIMIT and its companions.  Called by start(). */
void tm_limit_configure(void);
void tm_limit_after_fork_child(void);
/* The live bytes have reached tm_runtime.limit. */
void tm_limit_crossed(uint64_t live);

static inline void *tm_chunk_data(struct tm_chunk *chunk)
{
    return (char *)chunk + chunk->data_offset;
}

/* ---- intern.c ----------------------------------------------------------------------------------------------------------- */

/* Stacks are appended in chunks of 2^this, and so are the totals of each. */
#define TM_STACK_CHUNK_SHIFT 14
#define TM_MAX_STACKS (UINT32_C(1) << 28)

bool tm_intern_init(void);
/* The location of an instruction; 0: no memory.  *lasting: it stays so until the epoch changes. */
uint32_t tm_intern_location(void *code, uintptr_t instruction, bool *lasting);
/* The stack that has a path; TM_STACK_NONE: none has it yet.  No lock. */
uint32_t tm_intern_find(uint64_t path, uint32_t check);
/* The same under tm_intern_lock(), making it if need be, of a location on top of `parent`; TM_STACK_NONE: no memory.
 * `frame`, which stands there, gives the depth when there is no parent to know it. */
uint32_t tm_intern_stack(uint64_t path, uint32_t check, uint32_t parent, uint32_t location, const void *frame);
/* Instructions lie in the block at this address: tm_code_died() when it is freed.  False: no memory. */
bool tm_code_lies_at(uintptr_t address);
/* A block that held a registered code object, or a copy of its bytecode, is about to be freed. */
void tm_code_died(uintptr_t address);
/* Forgets all code objects (not stacks). */
void tm_code_forget_all(void);
/* Gives what tm_intern_unlock() wants: whether there was anybody to lock out. */
bool tm_intern_lock(void);
void tm_intern_unlock(bool locked);
void tm_intern_after_fork_child(void);

/* ---- foreign.c ---------------------------------------------------------------------------------------------------------- */

bool tm_foreign_init(void);
bool tm_foreign_track(uint32_t domain, uint64_t address, uint64_t size, uint32_t stack);
void tm_foreign_untrack(uint32_t domain, uint64_t address);
bool tm_foreign_find(uint32_t domain, uint64_t address, struct tm_foreign *ret);
void tm_foreign_clear(void);
void tm_foreign_lock(void);
void tm_foreign_unlock(void);
void tm_foreign_after_fork_child(void);

/* foreign_calls.c: extension modules loaded since the last call get us in place of PyTraceMalloc_Track. */
void tm_foreign_calls_redirect(void);

/* ---- hooks.c ------------------------------------------------------------------------------------------------------------ */

void tm_hooks_install(void);
bool tm_hooks_installed(void);
/* The calling thread's stack, for a block that no hook saw; needs no GIL. */
uint32_t tm_current_stack(void);
/* There are totals of the first shard for another chunk of stacks; these are of the first of them. */
void tm_totals_know(uint32_t first, const struct tm_totals *totals);
void tm_totals_add_shared(uint32_t stack, int64_t bytes, int64_t blocks);

/* ---- control.c ---------------------------------------------------------------------------------------------------------- */

/* frame_limit 1..65535.  Starting twice changes nothing, as in tracemalloc.  False: no memory for the table.  All of
 * these are called by a thread that holds the GIL, or before there is one. */
bool tm_start(uint32_t frame_limit);
/* A second root in another page, complete before its magic is there. */
void tm_root_copy_to(struct tm_root *place);
void tm_stop(void);
void tm_clear(void);
uint64_t tm_traced_bytes(uint64_t *peak);
void tm_reset_peak(void);

/* ---- threads.c ---------------------------------------------------------------------------------------------------------- */

bool tm_threads_init(void);
void tm_threads_after_fork_child(void);
/* After this returns, every hook that runs has seen what the caller wrote before, or has ended. */
void tm_threads_quiesce(void);

static TM_ALWAYS_INLINE void tm_lost(void)
{
    __atomic_fetch_add(&tm_runtime.state->lost, TM_COUNT_STEP, __ATOMIC_RELAXED);
}

#endif
