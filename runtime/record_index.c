/* SPDX-License-Identifier: MIT */
#include "record_index.h"

static struct tm_record_table *create(uint32_t bits)
{
    struct tm_record_table *table =
        tm_arena_resident(sizeof(struct tm_record_table) + (sizeof(table->places[0]) << bits));
    if (table)
        table->shift = 64 - bits;
    return table;
}

static uint64_t capacity(const struct tm_record_table *table)
{
    return UINT64_C(1) << (64 - table->shift);
}

static void put(struct tm_record_table *table, uint32_t *place, uint64_t hash, uint32_t number)
{
    __atomic_store_n(place, number | TM_RECORD_BITS_OF(hash), __ATOMIC_RELEASE);
    table->used++;
}

static uint32_t *empty_place(struct tm_record_table *table, uint64_t hash)
{
    uint64_t i = tm_spread_wide(hash, table->shift);
    while (table->places[i])
        i = (i + 1) & (capacity(table) - 1);
    return &table->places[i];
}

static TM_NOINLINE bool grow(struct tm_record_index *index)
{
    const struct tm_record_table *old = index->table;
    struct tm_record_table *table = create(64 - old->shift + 1);
    if (!table)
        return false;
    for (uint64_t i = 0; i < capacity(old); i++) {
        uint32_t number = old->places[i] % TM_RECORD_LIMIT;
        if (number) {
            uint64_t hash = index->hash_of(number);
            put(table, empty_place(table, hash), hash, number);
        }
    }
    __atomic_store_n(&index->table, table, __ATOMIC_RELEASE);
    return true;
}

bool tm_record_index_init(struct tm_record_index *index, uint32_t bits, uint64_t (*hash_of)(uint32_t number))
{
    *index = (struct tm_record_index){create(bits), hash_of};
    return index->table != NULL;
}

bool tm_record_index_add(struct tm_record_index *index, uint32_t *place, uint64_t hash, uint32_t number)
{
    if (TM_UNLIKELY(index->table->used >= capacity(index->table) / 2)) {
        if (!grow(index))
            return false;
        place = empty_place(index->table, hash);
    }
    put(index->table, place, hash, number);
    return true;
}
