/* SPDX-License-Identifier: MIT */
/* All memory of the runtime, in chunks of whole pages.  The kernel merges neighbouring mappings, so that there are few. */
#define _GNU_SOURCE 1
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "runtime.h"

/* Chunks that lost a race for their place in the map: the next one of their size takes them. */
static struct tm_chunk *spare_leaf;
static struct tm_chunk *spare_directory;

/* The runtime's own memory, which readers need not see; linked like the chunks of the table. */
static struct tm_chunk *newest_private;

/* Linux 4.17; an older kernel takes the address as a hint. */
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* Linux 5.14; an older kernel refuses, and the pages come one by one. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/*
 * The table lies below the program, its heap and its libraries: cores hold memory in the order of its addresses, and one
 * that was cut off (disk full, systemd's limit) still holds the whole table.  Where exactly is random, so that nobody can
 * count on writable memory at a known address; AddressSanitizer's shadow is not there.
 */
#define LOWEST_TABLE UINT64_C(0x300000000000)
#define TABLE_SPREAD (UINT64_C(1) << 28) /* pages: 1 TiB */

static uint64_t next_table_address(size_t bytes)
{
    static uint64_t next;
    if (!__atomic_load_n(&next, __ATOMIC_ACQUIRE)) {
        uint64_t random = 0;
        uint64_t unset = 0;
        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
            random = (uintptr_t)&random / TM_PAGE;
        uint64_t start = LOWEST_TABLE + random % TABLE_SPREAD * TM_PAGE;
        __atomic_compare_exchange_n(&next, &unset, start, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    }
    return __atomic_fetch_add(&next, bytes, __ATOMIC_RELAXED);
}

static void *map_anonymous(uint64_t address, size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *memory = MAP_FAILED;
    if (address)
        memory = mmap((void *)(uintptr_t)address, bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (memory == MAP_FAILED)
        memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    /* A huge page would make 2 MiB resident for the first slot of a leaf. */
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    return memory;
}

void *tm_arena_page(void)
{
    return map_anonymous(next_table_address(TM_PAGE), TM_PAGE);
}

static void count_bytes(size_t bytes)
{
    if (tm_runtime.state)
        __atomic_fetch_add(&tm_runtime.state->table_bytes, bytes, __ATOMIC_RELAXED);
}

static void link_chunk(uint64_t *newest, struct tm_chunk *chunk)
{
    chunk->previous = __atomic_load_n(newest, __ATOMIC_ACQUIRE);
    while (!__atomic_compare_exchange_n(newest, &chunk->previous, (uintptr_t)chunk, true, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
        ;
}

static struct tm_chunk **spare_of(enum tm_chunk_kind kind, uint64_t capacity)
{
    if (kind == TM_CHUNK_LEAF)
        return &spare_leaf;
    return kind == TM_CHUNK_DIRECTORY && capacity == 1 << TM_DIRECTORY_BITS ? &spare_directory : NULL;
}

struct tm_chunk *tm_arena_chunk(enum tm_chunk_kind kind, uint32_t index, uint32_t data_offset, uint32_t element_size,
                                uint64_t capacity)
{
    struct tm_chunk **spare = spare_of(kind, capacity);
    struct tm_chunk *chunk = spare ? __atomic_exchange_n(spare, NULL, __ATOMIC_ACQ_REL) : NULL;
    if (chunk) {
        chunk->index = index;
        return chunk;
    }

    size_t bytes = tm_round_to_page(data_offset + element_size * capacity);
    chunk = tm_file_in_use() ? tm_file_map(bytes) : map_anonymous(next_table_address(bytes), bytes);
    if (!chunk)
        return NULL;
    bool append_only =
        kind == TM_CHUNK_STRINGS || kind == TM_CHUNK_LOCATIONS || kind == TM_CHUNK_STACKS || kind == TM_CHUNK_FOREIGN;
    *chunk = (struct tm_chunk){
        .kind = kind,
        .index = index,
        .self = (uintptr_t)chunk,
        .bytes = bytes,
        .data_offset = data_offset,
        .element_size = element_size,
        .capacity = capacity,
        .used = append_only ? 0 : capacity,
    };
    __atomic_store_n(&chunk->magic, TM_CHUNK_MAGIC, __ATOMIC_RELEASE);
    struct tm_state *state = kind == TM_CHUNK_STATE ? tm_chunk_data(chunk) : tm_runtime.state;
    link_chunk(&state->newest_chunk, chunk);
    count_bytes(bytes);
    return chunk;
}

void tm_arena_give_back(struct tm_chunk *chunk)
{
    /* Two losers at once: the first one stays mapped and unused. */
    __atomic_store_n(spare_of(chunk->kind, chunk->capacity), chunk, __ATOMIC_RELEASE);
}

void *tm_arena_private(size_t bytes)
{
    bytes = tm_round_to_page(sizeof(struct tm_chunk) + bytes);
    struct tm_chunk *chunk = map_anonymous(0, bytes);
    if (!chunk)
        return NULL;
    *chunk = (struct tm_chunk){.self = (uintptr_t)chunk, .bytes = bytes, .data_offset = sizeof(struct tm_chunk)};
    link_chunk((uint64_t *)&newest_private, chunk);
    count_bytes(bytes);
    return chunk + 1;
}

void *tm_arena_resident(size_t bytes)
{
    void *memory = tm_arena_private(bytes);
    int saved_errno = errno; /* a refusal is nothing to whoever releases a block */
    if (memory)
        madvise((struct tm_chunk *)memory - 1, ((struct tm_chunk *)memory)[-1].bytes, MADV_POPULATE_WRITE);
    errno = saved_errno;
    return memory;
}

static void give_pages_back(char *first, char *end)
{
    /* A file keeps its blocks: a hole that cannot be filled again would be a SIGBUS. */
    if (first < end && (tm_file_in_use() || madvise(first, (size_t)(end - first), MADV_DONTNEED)))
        memset(first, 0, (size_t)(end - first));
}

void tm_arena_release_private(void *memory)
{
    struct tm_chunk *chunk = (struct tm_chunk *)memory - 1;
    char *first = (char *)tm_round_to_page((uintptr_t)memory);
    madvise(first, (size_t)((char *)chunk + chunk->bytes - first), MADV_DONTNEED);
}

void tm_arena_wipe(struct tm_chunk *chunk)
{
    char *data = tm_chunk_data(chunk);
    char *first_page = (char *)tm_round_to_page((uintptr_t)data);
    char *end = (char *)chunk + chunk->bytes;
    memset(data, 0, (size_t)((first_page < end ? first_page : end) - data));
    give_pages_back(first_page, end);
}

bool tm_arena_resident_pages(const void *start, size_t pages, unsigned char *resident)
{
    return !mincore((void *)(uintptr_t)start, pages * TM_PAGE, resident);
}

static void each_of_list(const struct tm_chunk *chunk, void (*visit)(const struct tm_chunk *, void *), void *argument)
{
    for (; chunk; chunk = (const struct tm_chunk *)(uintptr_t)chunk->previous)
        visit(chunk, argument);
}

void tm_arena_each(void (*visit)(const struct tm_chunk *, void *), void *argument)
{
    each_of_list((const struct tm_chunk *)(uintptr_t)tm_runtime.state->newest_chunk, visit, argument);
    each_of_list(newest_private, visit, argument);
}
