/* SPDX-License-Identifier: MIT */
#include "index.h"

static struct tm_index_table *create(uint32_t bits)
{
    struct tm_index_table *table =
        tm_arena_resident(sizeof(struct tm_index_table) + (sizeof(struct tm_index_entry) << bits));
    if (table)
        table->shift = 64 - bits;
    return table;
}

static inline void put(struct tm_index_table *table, uint64_t key, uint32_t tag, uint32_t value)
{
    uint64_t mask = (UINT64_C(1) << (64 - table->shift)) - 1;
    uint64_t i = tm_spread_wide(key, table->shift);
    while (table->entries[i].key)
        i = (i + 1) & mask;
    __atomic_store_n(&table->entries[i].tag, tag, __ATOMIC_RELEASE);
    __atomic_store_n(&table->entries[i].value, value, __ATOMIC_RELEASE);
    __atomic_store_n(&table->entries[i].key, key, __ATOMIC_RELEASE);
    table->used++;
}

static TM_NOINLINE bool grow(struct tm_index *index)
{
    const struct tm_index_table *old = index->table;
    struct tm_index_table *table = create(64 - old->shift + 1);
    if (!table)
        return false;
    for (uint64_t i = 0; i < tm_index_capacity(index); i++) {
        const struct tm_index_entry *entry = &old->entries[i];
        if (entry->key && entry->value) /* a value of 0 was taken out */
            put(table, entry->key, entry->tag, entry->value);
    }
    __atomic_store_n(&index->table, table, __ATOMIC_RELEASE);
    return true;
}

bool tm_index_init(struct tm_index *index, uint32_t bits)
{
    index->table = create(bits);
    return index->table != NULL;
}

uint64_t tm_index_capacity(const struct tm_index *index)
{
    return UINT64_C(1) << (64 - index->table->shift);
}

bool tm_index_is_full(const struct tm_index *index)
{
    return index->table->used >= tm_index_capacity(index) / 4 * 3;
}

bool tm_index_add(struct tm_index *index, uint64_t key, uint32_t tag, uint32_t value)
{
    if (tm_index_is_full(index) && !grow(index))
        return false;
    put(index->table, key, tag, value);
    return true;
}

bool tm_index_set(struct tm_index *index, uint64_t key, uint32_t tag, uint32_t value)
{
    struct tm_index_table *table = index->table;
    uint64_t mask = tm_index_capacity(index) - 1;
    for (uint64_t i = tm_spread_wide(key, table->shift); table->entries[i].key; i = (i + 1) & mask) {
        if (table->entries[i].key == key && table->entries[i].tag == tag) {
            __atomic_store_n(&table->entries[i].value, value, __ATOMIC_RELEASE);
            return true;
        }
    }
    return tm_index_add(index, key, tag, value);
}

void tm_index_clear(struct tm_index *index)
{
    struct tm_index_table *table = index->table;
    for (uint64_t i = 0; i < tm_index_capacity(index); i++)
        __atomic_store_n(&table->entries[i].key, 0, __ATOMIC_SEQ_CST);
    table->used = 0;
}
