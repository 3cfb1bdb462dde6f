/* SPDX-License-Identifier: MIT */
/* Start, stop, clear, fork; and the root record by which readers find everything. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"
#include "map.h"
#include "seals.h"
#include "table.h"

#define MAX_FRAME_LIMIT 65535

struct tm_runtime tm_runtime = {.epoch = TM_IDLE};

/* In .data, not .bss: the pages of .data are in every core.  `self` is set by the dynamic linker's relocation. */
TM_EXPORT struct tm_root tm_root __attribute__((aligned(TM_ROOT_ALIGN), section(".data"))) = {
    .magic = TM_ROOT_MAGIC,
    .byte_order = TM_BYTE_ORDER,
    .layout_version = TM_LAYOUT_VERSION,
    .root_size = sizeof(struct tm_root),
    .state_size = sizeof(struct tm_state),
    .chunk_size = sizeof(struct tm_chunk),
    .table_size = sizeof(struct tm_table),
    .shard_size = sizeof(struct tm_shard),
    .granule_bits = TM_GRANULE_BITS,
    .leaf_slot_bits = TM_LEAF_SLOT_BITS,
    .directory_bits = TM_DIRECTORY_BITS,
    .runtime_version = TM_VERSION,
};

/* The same record beside the table, which a core that was cut off still has; NULL when the table is in a file. */
static struct tm_root *root_beside_table;

void tm_root_copy_to(struct tm_root *place)
{
    struct tm_root copy = tm_root;
    copy.self = (uintptr_t)place;
    memset(copy.magic, 0, sizeof(copy.magic));
    *place = copy;
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(place->magic, tm_root.magic, sizeof(place->magic));
}

/* One thread at a time starts, stops or clears: without a GIL, or with several, nothing else sees to that.  Whoever holds it
 * waits for hooks to end (tm_threads_quiesce), which never want it. */
static pthread_mutex_t switching = PTHREAD_MUTEX_INITIALIZER;

/* ---- fork ------------------------------------------------------------------------------------------------------------------ */

static bool intern_locked;

/* The locks of the slow path are taken over fork, so that the child finds its tables whole.  memray did the same after
 * hangs (bloomberg/memray PR 645). */
static void before_fork(void)
{
    tm_file_before_fork();
    intern_locked = tm_intern_lock();
    tm_foreign_lock();
}

static void after_fork_parent(void)
{
    tm_file_after_fork_parent();
    tm_foreign_unlock();
    tm_intern_unlock(intern_locked);
}

static void after_fork_child(void)
{
    pthread_mutex_init(&switching, NULL);
    tm_intern_after_fork_child();
    tm_foreign_after_fork_child();
    tm_threads_after_fork_child();
    tm_file_after_fork_child();
    tm_limit_after_fork_child();
    tm_root.pid = (uint32_t)getpid();
    if (root_beside_table)
        root_beside_table->pid = tm_root.pid;
}

/* ---- the table ----------------------------------------------------------------------------------------------------------------- */

static bool create_table(void)
{
    tm_file_configure();
    root_beside_table = tm_file_in_use() ? NULL : tm_arena_page();
    struct tm_chunk *chunk = tm_arena_chunk(TM_CHUNK_STATE, 0, sizeof(struct tm_chunk), sizeof(struct tm_state), 1);
    if (!chunk)
        return false;
    struct tm_state *state = tm_chunk_data(chunk);
    tm_runtime.state = state;
    state->table_bytes = chunk->bytes;
    state->shard_count = TM_SHARDS;
#ifdef Py_GIL_DISABLED
    tm_runtime.epoch |= TM_MANY_GILS; /* none is as good as many: nobody owns the first shard */
#endif

    struct tm_chunk *map =
        tm_arena_chunk(TM_CHUNK_DIRECTORY, 0, sizeof(struct tm_chunk), sizeof(uint64_t), 1 << TM_DIRECTORY_BITS);
    if (!map || !tm_intern_init() || !tm_foreign_init() || !tm_threads_init())
        return false;
    state->map = (uintptr_t)map;
    tm_runtime.map = tm_chunk_data(map);
    for (int shard = 0; shard < TM_SHARDS; shard++)
        tm_runtime.totals[shard] = tm_chunk_data((struct tm_chunk *)(uintptr_t)state->shards[shard].totals.directory);

    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
    tm_root.self = (uintptr_t)&tm_root;
    tm_root.pid = (uint32_t)getpid();
    tm_root.python_version = PY_VERSION_HEX;
    const char *version = Py_GetVersion();
    strncpy(tm_root.python, version,
            strcspn(version, " ") < sizeof(tm_root.python) ? strcspn(version, " ") : sizeof(tm_root.python) - 1);
    __atomic_store_n(&tm_root.state, (uintptr_t)chunk, __ATOMIC_RELEASE);
    tm_file_publish_root();
    if (root_beside_table)
        tm_root_copy_to(root_beside_table);
    return true;
}

static void set_tracing(uint32_t tracing)
{
    if (tracing)
        __atomic_fetch_and(&tm_runtime.epoch, ~(uint64_t)TM_IDLE, __ATOMIC_SEQ_CST);
    else
        __atomic_fetch_or(&tm_runtime.epoch, TM_IDLE, __ATOMIC_SEQ_CST);
    tm_runtime.state->tracing = tracing;
    tm_threads_quiesce();
}

/* No hook runs: everything that lives becomes unknown. */
static void wipe(void)
{
    struct tm_state *state = tm_runtime.state;
    tm_map_wipe();
    tm_foreign_clear();
    for (int shard = 0; shard < TM_SHARDS; shard++)
        tm_table_wipe(&state->shards[shard].totals);
    /* Not before all totals are gone: whoever dies in the middle leaves sums that do not add up, and so are labelled. */
    for (int shard = 0; shard < TM_SHARDS; shard++) {
        state->shards[shard].live_bytes = 0;
        state->shards[shard].peak = 0;
    }
    state->lost = 0;
    tm_code_forget_all(); /* their blocks' flags went with the map */
}

static bool start(uint32_t frame_limit)
{
    static bool broken;
    if (tm_is_tracing())
        return true;
    if (broken || (!tm_root.state && !create_table())) {
        broken = true; /* half a table: never touched again */
        return false;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    tm_runtime.state->started = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    tm_runtime.frame_limit = frame_limit < MAX_FRAME_LIMIT ? frame_limit : MAX_FRAME_LIMIT;
    tm_runtime.state->frame_limit = tm_runtime.frame_limit;
    tm_runtime.state->check = tm_state_check(tm_runtime.state);
    tm_next_epoch();
    tm_limit_configure();
    tm_seals_configure();
    tm_hooks_install();
    tm_foreign_calls_redirect();
    set_tracing(1);
    return true;
}

bool tm_start(uint32_t frame_limit)
{
    pthread_mutex_lock(&switching);
    bool started = start(frame_limit);
    pthread_mutex_unlock(&switching);
    return started;
}

static void forget_all(bool go_on)
{
    pthread_mutex_lock(&switching);
    if (tm_is_tracing()) {
        set_tracing(0);
        wipe();
        if (go_on)
            set_tracing(1);
    }
    pthread_mutex_unlock(&switching);
}

void tm_stop(void)
{
    forget_all(false);
}

void tm_clear(void)
{
    forget_all(true);
}

uint64_t tm_traced_bytes(uint64_t *peak)
{
    int64_t live = 0;
    *peak = 0;
    if (!tm_is_tracing())
        return 0;
    for (int i = 0; i < TM_SHARDS; i++) {
        const struct tm_shard *shard = &tm_runtime.state->shards[i];
        uint64_t seen = __atomic_load_n(&shard->peak, __ATOMIC_RELAXED);
        live += __atomic_load_n(&shard->live_bytes, __ATOMIC_RELAXED);
        if (seen > *peak)
            *peak = seen;
    }
    if (live < 0)
        live = 0;
    if ((uint64_t)live > *peak)
        *peak = (uint64_t)live;
    return (uint64_t)live;
}

void tm_reset_peak(void)
{
    uint64_t peak;
    if (!tm_is_tracing())
        return;
    uint64_t live = tm_traced_bytes(&peak);
    for (int i = 0; i < TM_SHARDS; i++)
        __atomic_store_n(&tm_runtime.state->shards[i].peak, live, __ATOMIC_RELAXED);
}
