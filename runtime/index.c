/* SPDX-License-Identifier: MIT */
#include "index.h"

static struct tm_index_table *create(uint32_t bits)
{
    size_t bytes = sizeof(struct tm_index_table) + (sizeof(struct tm_index_entry) << bits);
    struct tm_index_table *table = tm_arena_private(bytes);
    if (table) {
        table->shift = 64 - bits;
        table->bytes = bytes;
    }
    return table;
}

static void put(struct tm_index_table *table, uint64_t key, uint32_t value)
{
    uint64_t mask = (UINT64_C(1) << (64 - table->shift)) - 1;
    uint64_t i = tm_index_hash(key) >> table->shift;
    while (table->entries[i].key)
        i = (i + 1) & mask;
    table->entries[i].value = value;
    __atomic_store_n(&table->entries[i].key, key, __ATOMIC_RELEASE);
    table->used++;
}

static bool grow(struct tm_index *index, uint32_t bits)
{
    const struct tm_index_table *old = index->table;
    struct tm_index_table *table = create(bits);
    if (!table)
        return false;
    for (uint64_t i = 0; i < UINT64_C(1) << (64 - old->shift); i++)
        if (old->entries[i].key && old->entries[i].value) /* a value of 0 was taken out */
            put(table, old->entries[i].key, old->entries[i].value);
    __atomic_store_n(&index->table, table, __ATOMIC_RELEASE);
    return true;
}

bool tm_index_init(struct tm_index *index, uint32_t bits)
{
    index->table = create(bits);
    return index->table != NULL;
}

bool tm_index_set(struct tm_index *index, uint64_t key, uint32_t value)
{
    struct tm_index_table *table = index->table;
    uint64_t mask = (UINT64_C(1) << (64 - table->shift)) - 1;
    for (uint64_t i = tm_index_hash(key) >> table->shift; table->entries[i].key; i = (i + 1) & mask) {
        if (table->entries[i].key == key) {
            __atomic_store_n(&table->entries[i].value, value, __ATOMIC_RELEASE);
            return true;
        }
    }
    return tm_index_add(index, key, value);
}

bool tm_index_add(struct tm_index *index, uint64_t key, uint32_t value)
{
    uint32_t bits = 64 - index->table->shift;
    if (index->table->used >= UINT64_C(1) << (bits - 1) && !grow(index, bits + 1))
        return false;
    put(index->table, key, value);
    return true;
}

void tm_index_clear(struct tm_index *index)
{
    struct tm_index_table *table = index->table;
    for (uint64_t i = 0; i < UINT64_C(1) << (64 - table->shift); i++)
        __atomic_store_n(&table->entries[i].key, 0, __ATOMIC_RELAXED);
    table->used = 0;
}
