/* SPDX-License-Identifier: MIT */
/*
 * A hash index from a 64-bit key to a 32-bit value that is read without a lock while one writer changes it.  Open
 * addressing, linear probing, at most three quarters full: touching more pages would cost more than the steps it saved.  It
 * grows into a new table; the old one stays mapped for readers that still look at it (all old ones together are smaller
 * than the new one).
 *
 * Entries carry a tag beside the key: entries of another tag are not found.  So a whole generation of entries can be
 * retired without touching them.
 */
#ifndef TM_INDEX_H
#define TM_INDEX_H

#include "runtime.h"

struct tm_index_entry {
    uint64_t key; /* 0: empty.  Written last, and taken away first. */
    uint32_t value;
    uint32_t tag;
};

struct tm_index_table {
    uint32_t shift; /* 64 - log2 of the number of entries */
    uint32_t used;
    struct tm_index_entry entries[];
};

struct tm_index {
    struct tm_index_table *table;
};

bool tm_index_init(struct tm_index *index, uint32_t bits);
/* All of these: one writer at a time.  A new key.  False: no memory. */
bool tm_index_add(struct tm_index *index, uint64_t key, uint32_t tag, uint32_t value);
/* Adds the key or changes its value.  A value of 0 reads as "not there". */
bool tm_index_set(struct tm_index *index, uint64_t key, uint32_t tag, uint32_t value);
/* Takes everything out.  Readers may be at work: they find nothing. */
void tm_index_clear(struct tm_index *index);
/* Is the next addition going to double the table? */
bool tm_index_is_full(const struct tm_index *index);
uint64_t tm_index_capacity(const struct tm_index *index);

/* 0: not there. */
static TM_ALWAYS_INLINE uint32_t tm_index_find(const struct tm_index *index, uint64_t key, uint32_t tag)
{
    const struct tm_index_table *table = __atomic_load_n(&index->table, __ATOMIC_ACQUIRE);
    uint64_t mask = (UINT64_C(1) << (64 - table->shift)) - 1;

    for (uint64_t i = tm_spread_wide(key, table->shift);; i = (i + 1) & mask) {
        const struct tm_index_entry *entry = &table->entries[i];
        uint64_t found = __atomic_load_n(&entry->key, __ATOMIC_ACQUIRE);
        if (!found)
            return 0;
        if (found != key || __atomic_load_n(&entry->tag, __ATOMIC_RELAXED) != tag)
            continue;
        uint32_t value = __atomic_load_n(&entry->value, __ATOMIC_ACQUIRE);
        /* Cleared and taken by another key in the meantime?  Then the value was that one's. */
        return __atomic_load_n(&entry->key, __ATOMIC_RELAXED) == key ? value : 0;
    }
}

#endif
