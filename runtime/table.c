/* SPDX-License-Identifier: MIT */
#include "table.h"

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

uint64_t tm_table_make_chunk(struct tm_table *table, uint64_t index)
{
    struct tm_chunk *chunk =
        tm_arena_chunk(table->kind, (uint32_t)(index >> table->chunk_shift), sizeof(struct tm_chunk),
                       table->element_size, UINT64_C(1) << table->chunk_shift);
    if (chunk)
        __atomic_store_n(tm_table_chunk(table, index), (uintptr_t)chunk, __ATOMIC_RELEASE);
    return (uintptr_t)chunk;
}

void tm_table_wipe(struct tm_table *table)
{
    for (uint64_t which = 0; which < table->directory_capacity; which++) {
        uint64_t chunk = *tm_table_chunk(table, which << table->chunk_shift);
        if (chunk)
            tm_arena_wipe((struct tm_chunk *)(uintptr_t)chunk);
    }
}
