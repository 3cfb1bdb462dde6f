/* SPDX-License-Identifier: MIT */
/* Append-only tables of equal chunks below one directory.  Whoever appends holds a lock of its own; readers need none. */
#include "runtime.h"

bool tm_table_init(struct tm_table *table, enum tm_chunk_kind kind, uint32_t element_size, uint32_t chunk_shift,
                   uint64_t max_elements)
{
    uint32_t capacity = (uint32_t)(max_elements >> chunk_shift);
    struct tm_chunk *directory =
        tm_arena_chunk(TM_CHUNK_DIRECTORY, 0, sizeof(struct tm_chunk), sizeof(uint64_t), capacity);
    if (!directory)
        return false;
    table->kind = kind;
    table->element_size = element_size;
    table->chunk_shift = chunk_shift;
    table->directory_capacity = capacity;
    __atomic_store_n(&table->directory, (uintptr_t)directory, __ATOMIC_RELEASE);
    return true;
}

static uint64_t *directory_entry(const struct tm_table *table, uint64_t index)
{
    uint64_t which = index >> table->chunk_shift;
    if (which >= table->directory_capacity || !table->directory)
        return NULL;
    return (uint64_t *)tm_chunk_data((struct tm_chunk *)(uintptr_t)table->directory) + which;
}

static void *element(const struct tm_table *table, uint64_t chunk, uint64_t index)
{
    uint64_t in_chunk = index & ((UINT64_C(1) << table->chunk_shift) - 1);
    return (char *)tm_chunk_data((struct tm_chunk *)(uintptr_t)chunk) + in_chunk * table->element_size;
}

void *tm_table_at(const struct tm_table *table, uint64_t index)
{
    uint64_t *entry = directory_entry(table, index);
    uint64_t chunk = entry ? __atomic_load_n(entry, __ATOMIC_ACQUIRE) : 0;
    return chunk ? element(table, chunk, index) : NULL;
}

void *tm_table_reserve(struct tm_table *table, uint64_t index)
{
    uint64_t *entry = directory_entry(table, index);
    if (!entry)
        return NULL;
    if (!*entry) {
        struct tm_chunk *chunk =
            tm_arena_chunk(table->kind, (uint32_t)(index >> table->chunk_shift), sizeof(struct tm_chunk),
                           table->element_size, UINT64_C(1) << table->chunk_shift);
        if (!chunk)
            return NULL;
        __atomic_store_n(entry, (uintptr_t)chunk, __ATOMIC_RELEASE);
    }
    return element(table, *entry, index);
}

void tm_table_publish(struct tm_table *table, uint64_t count)
{
    uint64_t last = count - 1;
    struct tm_chunk *chunk = (struct tm_chunk *)(uintptr_t)*directory_entry(table, last);
    __atomic_store_n(&chunk->used, (last & ((UINT64_C(1) << table->chunk_shift) - 1)) + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&table->count, count, __ATOMIC_RELEASE);
}

void tm_table_wipe(struct tm_table *table)
{
    for (uint64_t which = 0; which < table->directory_capacity; which++) {
        uint64_t chunk = *directory_entry(table, which << table->chunk_shift);
        if (chunk)
            tm_arena_wipe((struct tm_chunk *)(uintptr_t)chunk);
    }
}
