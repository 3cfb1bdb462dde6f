/* SPDX-License-Identifier: MIT */
/* One hash table of traces: recognising it, walking it, looking one address up. */
#ifndef TM_STDLIB_TABLE_H
#define TM_STDLIB_TABLE_H

#include "stdlib_layout.h"
#include "stdlib_memory.h"

struct tm_stdlib_table {
    const struct tm_stdlib_table_layout *layout;
    uint64_t address;
    uint64_t nentries;
    uint64_t nbuckets; /* a power of two */
    uint64_t buckets;
    uint64_t hash;
    uint64_t compare;
    uint64_t value_destroy;
    uint64_t allocate;
    uint32_t key_size;

    /* Of a rehash in progress (stdlib_rehash.h), otherwise 0 */
    uint64_t first; /* bucket; those before it were emptied */
    uint64_t rest;  /* entry that begins a chain of rest_bucket, which no bucket leads to */
    uint64_t rest_bucket;
};

struct tm_stdlib_trace {
    uint64_t address;
    uint64_t size;
    uint64_t traceback; /* address of the traceback_t */
    uint32_t domain;
};

/* Reads the head of a table and tells whether it can be one: all that the program itself guarantees. */
bool tm_stdlib_table_read(struct tm_stdlib_memory *memory, const struct tm_stdlib_table_layout *layout,
                          uint64_t address, struct tm_stdlib_table *ret);
/* The hash that an entry ought to have, by its key. */
uint64_t tm_stdlib_hash(const struct tm_stdlib_table *table, const uint8_t *entry);
/* Whether the address leads to another table of the same kind, of whatever: same allocator, but other functions. */
bool tm_stdlib_table_resembles(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table, uint64_t address);
/* Of its first traces, those that are what they should be (hash of the key, bucket, traceback), and those that are not. */
void tm_stdlib_table_sample(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table, unsigned *good,
                            unsigned *bad);

/* ---- walking ------------------------------------------------------------------------------------------------------ */

#define TM_STDLIB_BATCH 64

/* A bucket's chain of entries.  One that returns to where it was is found out by an anchor that is moved forward after
 * 1, 2, 4, 8... steps (Brent's algorithm): honest chains may be long, if all keys of a domain are multiples of 4096. */
struct tm_stdlib_chain {
    uint64_t entry; /* next one */
    uint64_t bucket;
    uint64_t anchor;
    uint32_t steps; /* since the anchor was set */
    uint32_t limit; /* steps after which it is moved */
};

struct tm_stdlib_walk {
    struct tm_stdlib_memory *memory;
    const struct tm_stdlib_table *table;
    struct tm_stdlib_window entries, values;
    struct tm_bytes chunk; /* buckets from first_bucket on */
    uint64_t first_bucket;
    uint64_t bucket;                                /* next to look at */
    uint64_t last_bucket;                           /* the one behind the last to look at */
    struct tm_stdlib_chain chains[TM_STDLIB_BATCH]; /* to be followed */
    unsigned chain_count;
    uint64_t limit; /* entries that may still be visited */

    uint64_t walked;       /* traces that were read */
    uint64_t unreadable;   /* entries, traces or buckets that were not */
    struct tm_fault fault; /* of the first that was not */
    uint64_t torn;         /* entries that are not what they should be: being written, freed, or damaged */
    bool endless;          /* more entries than the table says it has, or may have */
    bool failed;           /* interrupted, or the target is gone */
};

void tm_stdlib_walk_init(struct tm_stdlib_walk *walk, struct tm_stdlib_memory *memory,
                         const struct tm_stdlib_table *table);
/* Up to TM_STDLIB_BATCH traces; 0: it is over, or walk->failed.  `domain` is that of the table; the keys of 3.8 have
 * their own. */
unsigned tm_stdlib_walk_next(struct tm_stdlib_walk *walk, uint32_t domain, struct tm_stdlib_trace *ret);
void tm_stdlib_walk_deinit(struct tm_stdlib_walk *walk);

/* The trace whose block starts exactly at the address. */
bool tm_stdlib_table_find(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table, uint32_t domain,
                          uint64_t address, struct tm_stdlib_trace *ret);
/* The value of a key that is no address (the table of domains): all entries, at most `room`.  Returns how many. */
size_t tm_stdlib_table_pairs(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table, uint64_t (*ret)[2],
                             size_t room);

#endif
