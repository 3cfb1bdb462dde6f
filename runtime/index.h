/* SPDX-License-Identifier: MIT */
/*
 * A hash index from a 64-bit key to a 32-bit value that is read without a lock while one writer adds to it.  Open
 * addressing, linear probing, at most half full.  It grows into a new table; the old one stays mapped for readers that
 * still look at it (all old ones together are smaller than the new one).
 */
#ifndef TM_INDEX_H
#define TM_INDEX_H

#include "runtime.h"

struct tm_index_entry {
    uint64_t key; /* 0: empty.  Written last. */
    uint32_t value;
    uint32_t unused;
};

struct tm_index_table {
    uint32_t shift; /* 64 - log2 of the number of entries */
    uint32_t used;
    size_t bytes;
    struct tm_index_entry entries[];
};

struct tm_index {
    struct tm_index_table *table;
};

bool tm_index_init(struct tm_index *index, uint32_t bits);
/* One writer at a time; the key must be new.  False: no memory. */
bool tm_index_add(struct tm_index *index, uint64_t key, uint32_t value);
/* One writer at a time: adds the key or changes its value.  A value of 0 reads as "not there". */
bool tm_index_set(struct tm_index *index, uint64_t key, uint32_t value);
/* While nobody reads. */
void tm_index_clear(struct tm_index *index);

static TM_ALWAYS_INLINE uint64_t tm_index_hash(uint64_t key)
{
    return key * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / golden ratio: Knuth's multiplicative hash */
}

/* 0: not there. */
static TM_ALWAYS_INLINE uint32_t tm_index_find(const struct tm_index *index, uint64_t key)
{
    const struct tm_index_table *table = __atomic_load_n(&index->table, __ATOMIC_ACQUIRE);
    uint64_t mask = (UINT64_C(1) << (64 - table->shift)) - 1;

    for (uint64_t i = tm_index_hash(key) >> table->shift;; i = (i + 1) & mask) {
        uint64_t found = __atomic_load_n(&table->entries[i].key, __ATOMIC_ACQUIRE);
        if (found == key)
            return __atomic_load_n(&table->entries[i].value, __ATOMIC_RELAXED);
        if (!found)
            return 0;
    }
}

#endif
