/* SPDX-License-Identifier: MIT */
/* Append-only tables of equal chunks below one directory.  Whoever appends holds a lock of its own; readers need none. */
#ifndef TM_TABLE_H
#define TM_TABLE_H

#include "runtime.h"

/* Of at most 2^32 - 1 chunks. */
bool tm_table_init(struct tm_table *table, enum tm_chunk_kind kind, uint32_t element_size, uint32_t chunk_shift,
                   uint64_t max_elements);
/* Zeroes all elements. */
void tm_table_wipe(struct tm_table *table);
/* table.c: makes the chunk of an element; 0: no memory. */
uint64_t tm_table_make_chunk(struct tm_table *table, uint64_t index);

/* Where the directory has the chunk of an element; NULL: there cannot be one. */
static inline uint64_t *tm_table_chunk(const struct tm_table *table, uint64_t index)
{
    uint64_t which = index >> table->chunk_shift;
    if (which >= table->directory_capacity || !table->directory)
        return NULL;
    return (uint64_t *)tm_chunk_data((struct tm_chunk *)(uintptr_t)table->directory) + which;
}

static inline void *tm_table_element(const struct tm_table *table, uint64_t chunk, uint64_t index)
{
    uint64_t in_chunk = index & ((UINT64_C(1) << table->chunk_shift) - 1);
    return (char *)tm_chunk_data((struct tm_chunk *)(uintptr_t)chunk) + in_chunk * table->element_size;
}

/* Address of element `index`; NULL where its chunk does not exist. */
static inline void *tm_table_at(const struct tm_table *table, uint64_t index)
{
    const uint64_t *entry = tm_table_chunk(table, index);
    uint64_t chunk = entry ? __atomic_load_n(entry, __ATOMIC_ACQUIRE) : 0;
    return chunk ? tm_table_element(table, chunk, index) : NULL;
}

/* The same, making the chunk if need be; NULL when there is no memory or no room. */
static inline void *tm_table_reserve(struct tm_table *table, uint64_t index)
{
    const uint64_t *entry = tm_table_chunk(table, index);
    uint64_t chunk = entry ? *entry : 0;
    if (TM_UNLIKELY(!chunk))
        chunk = entry ? tm_table_make_chunk(table, index) : 0;
    return chunk ? tm_table_element(table, chunk, index) : NULL;
}

/* Elements below `count` become visible to readers. */
static inline void tm_table_publish(struct tm_table *table, uint64_t count)
{
    uint64_t last = count - 1;
    struct tm_chunk *chunk = (struct tm_chunk *)(uintptr_t)*tm_table_chunk(table, last);
    __atomic_store_n(&chunk->used, (last & ((UINT64_C(1) << table->chunk_shift) - 1)) + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&table->count, count, __ATOMIC_RELEASE);
}

#endif
