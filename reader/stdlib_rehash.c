/* SPDX-License-Identifier: MIT */
/*
 * hashtable_rehash() (Modules/hashtable.c in 3.8, Python/hashtable.c since) takes the old buckets one after the other,
 * and puts each entry of a chain before what is in its new bucket.  One of the two arrays is known to nobody but its
 * local variables: the new one, or in 3.8, which changes the table first, the old one.  But it is an array of pointers
 * to entries, and each lies where the hash of its entry says:
 *
 *     a word W in memory that points to entry E  =>  the array begins at W - 8 * (E.hash & (size of the array - 1))
 *
 * so that any few entries that are in both arrays agree on its beginning.  That needs neither registers nor stacks, nor a
 * certain malloc(), and works in a core as well as through a debugger.
 *
 * The rest of the chain that is just being moved is known to two local variables only.  It is a chain of entries of that
 * very bucket that nobody else leads to, and as long as what is missing.
 */
#include "stdlib_rehash.h"

#include <stdlib.h>

#include "stdlib_map.h"

#define CHUNK (UINT64_C(1) << 20)
#define SAMPLES 256          /* entries whose places vote */
#define SAMPLE_BUCKETS 65536 /* in which they are looked for */
#define ENOUGH 64            /* votes after which nobody else is heard */
#define CANDIDATES 512       /* beginnings that have votes */
#define LOOK 4096            /* buckets of each that are looked at */
#define TRIES 8              /* beginnings that are looked at closely */
#define CHAIN 4096           /* entries of a bucket that are looked along */
#define HEAD 32              /* bytes that every entry has: next, hash, key, ... */

struct candidate {
    uint64_t buckets;
    unsigned votes;
};

struct rehash {
    struct tm_stdlib_memory *memory;
    const struct tm_stdlib_table *table;
    struct tm_stdlib_table from, to; /* the old array and the new one; one of them is to be found */
    struct tm_stdlib_table *other;   /* that one */
    uint64_t expected;               /* traces in both */

    struct tm_stdlib_map samples; /* address of an entry -> its number */
    uint64_t hashes[SAMPLES];
    struct candidate candidates[CANDIDATES];
    unsigned count;

    uint64_t first_bucket, next_bucket; /* last one that was begun, first one that was not: the rest is of either */
    uint64_t rest;                      /* its length */
    unsigned rests;                     /* chains that can be it */
    struct tm_stdlib_window old_heads, new_heads, entries;
};

/* round_size(nentries * HASHTABLE_REHASH_FACTOR) */
static uint64_t size_after(uint64_t nentries)
{
    uint64_t size = 16;
    while (size < nentries * 10 / 3)
        size *= 2;
    return size;
}

/* Sizes of both arrays; false: with so many traces, none is begun.  (A table that is damaged otherwise is not worth a search
 * through all memory.)  It grows when it is more than half full, and shrinks when it is less than a tenth full. */
static bool sizes(struct rehash *rehash, const struct tm_stdlib_table *table)
{
    uint64_t entries = table->nentries, buckets = table->nbuckets, some = buckets / 64 + 16;
    bool early = table->layout->rehash_swaps_first, grows;
    rehash->from = rehash->to = *table;
    if (early) { /* the number of buckets is the new one: just over a quarter, or just below a fifth */
        grows = entries * 4 > buckets;
        if (grows ? entries > buckets / 4 + some : entries + some < buckets / 5)
            return false;
        rehash->other = &rehash->from;
        rehash->other->nbuckets = grows ? buckets / 2 : buckets * 2;
    } else {
        grows = entries * 2 >= buckets;
        if (!grows && entries * 10 > buckets)
            return false;
        rehash->other = &rehash->to;
        rehash->other->nbuckets = size_after(entries);
    }
    rehash->expected = entries - (grows && !early);
    return rehash->other->nbuckets >= 16 && rehash->other->nbuckets != buckets;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static uint64_t head_of(struct rehash *rehash, struct tm_stdlib_window *window, const struct tm_stdlib_table *table,
                        uint64_t bucket)
{
    uint8_t scratch[8];
    const uint8_t *head = tm_stdlib_at(rehash->memory, window, table->buckets + bucket * 8, 8, scratch);
    return head ? tm_stdlib_u64(head) : 0;
}

static bool entry_at(struct rehash *rehash, uint64_t entry, uint64_t *next, uint64_t *hash)
{
    uint8_t scratch[HEAD];
    const uint8_t *bytes = tm_stdlib_at(rehash->memory, &rehash->entries, entry, HEAD, scratch);
    if (!bytes)
        return false;
    *next = tm_stdlib_u64(bytes);
    *hash = tm_stdlib_u64(bytes + rehash->table->layout->entry_hash);
    return true;
}

/* Whether an entry has been moved. */
static bool moved(struct rehash *rehash, uint64_t entry, uint64_t hash)
{
    uint64_t at = head_of(rehash, &rehash->new_heads, &rehash->to, hash & (rehash->to.nbuckets - 1)), ignored;
    for (unsigned steps = 0; at && at != entry && steps < CHAIN; steps++) {
        if (!entry_at(rehash, at, &at, &ignored))
            return false;
    }
    return at == entry;
}

/* Calls for each piece of memory in which a program can have written.  `fn` returns true when it has seen enough. */
static struct tm_error *each_piece(struct rehash *rehash,
                                   bool (*fn)(struct rehash *, uint64_t, const struct tm_bytes *))
{
    struct tm_target *target = rehash->memory->target;
    struct tm_bytes bytes = {0};
    struct tm_error *error = NULL;
    bool done = false;
    for (size_t i = 0; i < target->region_count && !done && !error; i++) {
        const struct tm_region *region = &target->regions[i];
        if (region->flags && !(region->flags & TM_REGION_WRITE))
            continue;
        for (uint64_t at = 0; at < region->saved && !done && !error; at += CHUNK) {
            if (tm_target_interrupted(target))
                error = tm_error(TM_ERROR_INTERRUPTED, "interrupted");
            /* a little more than a piece: an entry may begin at its end */
            uint64_t size = region->saved - at < CHUNK + HEAD ? region->saved - at : CHUNK + HEAD;
            tm_bytes_load(&bytes, target, region->start + at, size);
            done = fn(rehash, region->start + at, &bytes);
        }
    }
    tm_bytes_unload(&bytes);
    return error;
}

/* ---- the array that is not known ---------------------------------------------------------------------------------- */

/* The lowest buckets are moved first: what they lead to is in both arrays. */
static bool take_samples(struct rehash *rehash)
{
    const struct tm_stdlib_table *table = rehash->table;
    uint64_t count = 0, next, hash;
    for (uint64_t bucket = 0; bucket < table->nbuckets && bucket < SAMPLE_BUCKETS && count < SAMPLES; bucket++) {
        uint64_t entry = head_of(rehash, &rehash->old_heads, table, bucket);
        for (unsigned i = 0; entry && i < 8 && count < SAMPLES && entry_at(rehash, entry, &next, &hash); i++) {
            struct tm_stdlib_map_item *item = tm_stdlib_map_at(&rehash->samples, entry);
            if (!item)
                return false;
            if (item->key || !tm_stdlib_pointer(entry))
                break;
            *item = (struct tm_stdlib_map_item){entry, (uint32_t)count};
            rehash->samples.count++;
            rehash->hashes[count++] = hash;
            entry = next;
        }
    }
    return count > 0;
}

static bool vote(struct rehash *rehash, uint64_t address, const struct tm_bytes *bytes)
{
    const struct tm_stdlib_table *table = rehash->table;
    for (uint64_t offset = 0; offset + 8 <= bytes->size && offset < CHUNK; offset += 8) {
        uint64_t value = tm_stdlib_u64(bytes->data + offset), place = address + offset;
        if (!tm_stdlib_pointer(value) || value % 8)
            continue;
        const struct tm_stdlib_map_item *item = tm_stdlib_map_at(&rehash->samples, value);
        if (!item || !item->key || place - table->buckets < table->nbuckets * 8)
            continue;
        uint64_t buckets = place - 8 * (rehash->hashes[item->value] & (rehash->other->nbuckets - 1));
        unsigned i = 0;
        while (i < rehash->count && rehash->candidates[i].buckets != buckets)
            i++;
        if (i == CANDIDATES)
            continue;
        if (i == rehash->count)
            rehash->candidates[rehash->count++] = (struct candidate){buckets, 0};
        if (++rehash->candidates[i].votes == ENOUGH)
            return true;
    }
    return false;
}

static int compare_candidates(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    return a->votes != b->votes ? (a->votes < b->votes ? 1 : -1)
                                : (a->buckets > b->buckets) - (a->buckets < b->buckets);
}

/* Words that merely lead to an entry are everywhere, but not in rows with nothing else between them. */
static bool looks_like_buckets(struct rehash *rehash, const struct tm_stdlib_table *table)
{
    uint64_t next, hash;
    for (uint64_t bucket = 0; bucket < table->nbuckets && bucket < LOOK; bucket++) {
        uint64_t entry = head_of(rehash, &rehash->new_heads, table, bucket);
        if (entry && (!tm_stdlib_pointer(entry) || entry % 8 || !entry_at(rehash, entry, &next, &hash) ||
                      (hash & (table->nbuckets - 1)) != bucket))
            return false;
    }
    return true;
}

/* ---- how far it had come ------------------------------------------------------------------------------------------ */

/* False: there is nothing of the one in the other. */
static bool find_border(struct rehash *rehash)
{
    const struct tm_stdlib_table *from = &rehash->from;
    uint64_t next, hash;
    rehash->next_bucket = from->nbuckets;
    for (uint64_t bucket = from->nbuckets; bucket--;) {
        uint64_t entry = head_of(rehash, &rehash->old_heads, from, bucket);
        if (!entry)
            continue;
        if (!entry_at(rehash, entry, &next, &hash) || (hash & (from->nbuckets - 1)) != bucket)
            return false;
        if (moved(rehash, entry, hash)) {
            rehash->first_bucket = bucket;
            rehash->from.first = bucket + 1;
            return true;
        }
        rehash->next_bucket = bucket;
    }
    return false;
}

/* Traces of a table, if they are all that is in it. */
static struct tm_error *count(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table, uint64_t *ret,
                              bool *sound)
{
    struct tm_stdlib_walk walk;
    struct tm_stdlib_trace traces[TM_STDLIB_BATCH];
    tm_stdlib_walk_init(&walk, memory, table);
    while (tm_stdlib_walk_next(&walk, 0, traces))
        ;
    *ret += walk.walked;
    *sound &= !walk.torn && !walk.unreadable && !walk.endless;
    bool failed = walk.failed;
    tm_stdlib_walk_deinit(&walk);
    return failed ? tm_error(TM_ERROR_INTERRUPTED, "interrupted") : NULL;
}

/* ---- the rest of a chain ------------------------------------------------------------------------------------------ */

static bool is_rest(struct rehash *rehash, uint64_t entry, uint64_t bucket)
{
    uint64_t length = 0, next, hash;
    uint64_t at = bucket < rehash->from.first ? 0 : head_of(rehash, &rehash->old_heads, &rehash->from, bucket);
    for (unsigned steps = 0; at && steps < CHAIN; steps++) { /* one that has not been touched yet */
        if (at == entry || !entry_at(rehash, at, &at, &hash))
            return false;
    }
    while (entry && length <= rehash->rest) {
        if (!tm_stdlib_pointer(entry) || entry % 8 || !entry_at(rehash, entry, &next, &hash) ||
            (hash & (rehash->from.nbuckets - 1)) != bucket || moved(rehash, entry, hash))
            return false;
        entry = next;
        length++;
    }
    return length == rehash->rest;
}

static bool find_rest(struct rehash *rehash, uint64_t address, const struct tm_bytes *bytes)
{
    const struct tm_stdlib_table *from = &rehash->from;
    for (uint64_t offset = 0; offset + HEAD <= bytes->size && offset < CHUNK; offset += 8) {
        uint64_t hash = tm_stdlib_u64(bytes->data + offset + from->layout->entry_hash);
        uint64_t bucket = hash & (from->nbuckets - 1);
        if ((bucket != rehash->first_bucket && bucket != rehash->next_bucket) || !hash ||
            hash != tm_stdlib_hash(from, bytes->data + offset) || !is_rest(rehash, address + offset, bucket))
            continue;
        rehash->from.rest = address + offset;
        rehash->from.rest_bucket = bucket;
        if (++rehash->rests > 1) /* nothing tells which it is */
            return true;
    }
    return false;
}

/* ---- together ----------------------------------------------------------------------------------------------------- */

static struct tm_error *try_candidate(struct rehash *rehash, uint64_t buckets, struct tm_stdlib_table pair[2],
                                      unsigned *tries, uint64_t *most)
{
    uint64_t there = 0, size = rehash->other->nbuckets * 8;
    bool sound = true;
    rehash->other->buckets = buckets;
    rehash->from.first = rehash->from.rest = 0;
    rehash->old_heads = rehash->new_heads = (struct tm_stdlib_window){0};
    if (!tm_stdlib_pointer(buckets) || tm_target_available(rehash->memory->target, buckets, size, NULL) != size ||
        !looks_like_buckets(rehash, rehash->other) || !(*tries)-- || !find_border(rehash))
        return NULL;
    struct tm_error *error = count(rehash->memory, &rehash->from, &there, &sound);
    if (!error)
        error = count(rehash->memory, &rehash->to, &there, &sound);
    if (error || !sound || there > rehash->expected)
        return error;
    rehash->rest = rehash->expected - there;
    rehash->rests = 0;
    if (rehash->rest && rehash->rest <= CHAIN)
        error = each_piece(rehash, find_rest);
    if (rehash->rests == 1)
        there += rehash->rest;
    else
        rehash->from.rest = 0;
    if (there <= *most)
        return error;
    *most = there;
    pair[0] = rehash->from;
    pair[1] = rehash->to;
    return error;
}

struct tm_error *tm_stdlib_rehash(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table,
                                  struct tm_stdlib_table pair[2], bool *found)
{
    uint64_t alone = 0;
    bool sound = true;
    *found = false;
    struct rehash *rehash = calloc(1, sizeof(*rehash));
    struct tm_error *error = rehash ? count(memory, table, &alone, &sound) : tm_error_no_memory();
    if (error || alone >= table->nentries) {
        free(rehash);
        return error;
    }
    rehash->memory = memory;
    rehash->table = table;
    if (sizes(rehash, table) && take_samples(rehash))
        error = each_piece(rehash, vote);
    qsort(rehash->candidates, rehash->count, sizeof(rehash->candidates[0]), compare_candidates);
    uint64_t most = alone;
    unsigned tries = TRIES;
    for (unsigned i = 0; i < rehash->count && tries && most < rehash->expected && !error; i++)
        error = try_candidate(rehash, rehash->candidates[i].buckets, pair, &tries, &most);
    *found = most > alone;
    tm_stdlib_map_free(&rehash->samples);
    free(rehash);
    return error;
}
