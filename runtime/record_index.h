/* SPDX-License-Identifier: MIT */
/*
 * A hash index of records that lie elsewhere, from what they hold to their numbers: 4 bytes for each.  Whoever looks one up
 * compares the records themselves.  As in index.h: read without a lock while one writer adds, open addressing, linear
 * probing, and a table that was outgrown stays mapped for its readers; but, places being small, at most half full.
 */
#ifndef TM_RECORD_INDEX_H
#define TM_RECORD_INDEX_H

#include "runtime.h"

/* Numbers are from 1 to 2^28 - 1.  The other bits of a place are the hash's lowest, so that 15 of 16 records that happen to be
 * in the way need not be looked at. */
#define TM_RECORD_LIMIT (UINT32_C(1) << 28)
#define TM_RECORD_BITS_OF(hash) ((uint32_t)(hash)*TM_RECORD_LIMIT)

struct tm_record_table {
    uint32_t shift; /* 64 - log2 of the number of places */
    uint32_t used;
    uint32_t places[]; /* 0: empty */
};

struct tm_record_index {
    struct tm_record_table *table;
    uint64_t (*hash_of)(uint32_t number); /* of a record's content */
};

bool tm_record_index_init(struct tm_record_index *index, uint32_t bits, uint64_t (*hash_of)(uint32_t number));
/* Adds a record that was written completely, at the empty place where it was looked for; no other was added since.  One writer
 * at a time.  False: no memory. */
bool tm_record_index_add(struct tm_record_index *index, uint32_t *place, uint64_t hash, uint32_t number);

/* *number: the record of which `is` says that it is the wanted one; 0: there is none.  Returns its place, or an empty one. */
static TM_ALWAYS_INLINE uint32_t *tm_record_index_find(const struct tm_record_index *index, uint64_t hash,
                                                       bool (*is)(uint32_t number, const void *wanted),
                                                       const void *wanted, uint32_t *number)
{
    struct tm_record_table *table = __atomic_load_n(&index->table, __ATOMIC_ACQUIRE);
    uint64_t mask = (UINT64_C(1) << (64 - table->shift)) - 1;

    for (uint64_t i = tm_spread_wide(hash, table->shift);; i = (i + 1) & mask) {
        uint32_t place = __atomic_load_n(&table->places[i], __ATOMIC_ACQUIRE);
        *number = place ? place ^ TM_RECORD_BITS_OF(hash) : 0;
        if (!place || (*number < TM_RECORD_LIMIT && is(*number, wanted)))
            return &table->places[i];
    }
}

#endif
