/* SPDX-License-Identifier: MIT */
/* All memory of the table: private anonymous mappings.  The kernel merges neighbours, so that there are few of them. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime.h"

#define PAGE 4096


static void *map_pages(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    /* A huge page would make 2 MiB resident for the first slot of a leaf. */
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    return memory;
}

static size_t round_to_page(size_t bytes)
{
    return (bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
}

struct tm_chunk *tm_arena_chunk(enum tm_chunk_kind kind, uint32_t index, uint32_t data_offset, uint32_t element_size,
                                uint64_t capacity)
{
    size_t bytes = round_to_page(data_offset + element_size * capacity);
    struct tm_chunk *chunk = map_pages(bytes);
    if (!chunk)
        return NULL;
    chunk->kind = kind;
    chunk->index = index;
    chunk->self = (uintptr_t)chunk;
    chunk->bytes = bytes;
    chunk->data_offset = data_offset;
    chunk->element_size = element_size;
    chunk->capacity = capacity;
    bool append_only = kind == TM_CHUNK_STRINGS || kind == TM_CHUNK_LOCATIONS || kind == TM_CHUNK_STACKS ||
                       kind == TM_CHUNK_FOREIGN;
    chunk->used = append_only ? 0 : capacity;
    __atomic_store_n(&chunk->magic, TM_CHUNK_MAGIC, __ATOMIC_RELEASE);
    if (tm_runtime.state)
        __atomic_fetch_add(&tm_runtime.state->table_bytes, bytes, __ATOMIC_RELAXED);
    return chunk;
}

void *tm_arena_private(size_t bytes)
{
    bytes = round_to_page(bytes);
    void *memory = map_pages(bytes);
    if (memory && tm_runtime.state)
        __atomic_fetch_add(&tm_runtime.state->table_bytes, bytes, __ATOMIC_RELAXED);
    return memory;
}

void tm_arena_release_private(void *memory, size_t bytes)
{
    bytes = round_to_page(bytes);
    munmap(memory, bytes);
    __atomic_fetch_sub(&tm_runtime.state->table_bytes, bytes, __ATOMIC_RELAXED);
}

void tm_arena_wipe(struct tm_chunk *chunk)
{
    char *data = tm_chunk_data(chunk);
    char *first_page = (char *)round_to_page((uintptr_t)data);
    char *end = (char *)chunk + chunk->bytes;
    memset(data, 0, first_page - data);
    if (first_page < end)
        madvise(first_page, end - first_page, MADV_DONTNEED);
}
