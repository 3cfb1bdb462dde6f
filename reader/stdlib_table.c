/* SPDX-License-Identifier: MIT */
/*
 * Nothing in here believes the target.  A chain may be a circle, a count may be anything, a pointer may lead anywhere: a
 * walk visits no more entries than the table says it has (and a table cannot say more than it has buckets, which must
 * all be mapped), and every byte is read through the target.
 */
#include "stdlib_table.h"

#define CHUNK_BUCKETS (UINT64_C(1) << 17) /* 1 MiB: what debuggers read fastest */
#define SAMPLE 32
#define CHAIN 4096 /* entries in a chain that is only looked along for speed */
#define SAMPLE_BUCKETS 65536

/* _Py_HashPointerRaw(): the low four bits of an address are mostly 0, so they are turned to the top. */
static inline uint64_t hash_pointer(uint64_t address)
{
    return address >> 4 | address << 60;
}

static inline uint64_t key_hash(const struct tm_stdlib_table *table, uint64_t address, uint32_t domain)
{
    /* 3.8, hashtable_hash_pointer_t() */
    return hash_pointer(address) ^ (table->key_size == 12 ? domain : 0);
}

uint64_t tm_stdlib_hash(const struct tm_stdlib_table *table, const uint8_t *entry)
{
    const uint8_t *key = entry + table->layout->entry_key;
    return key_hash(table, tm_stdlib_u64(key), table->key_size == 12 ? tm_stdlib_u32(key + 8) : 0);
}

static bool optional_function(const struct tm_stdlib_memory *memory, const uint8_t *head, uint8_t offset)
{
    return offset == TM_STDLIB_NONE || tm_stdlib_function(memory, tm_stdlib_u64(head + offset));
}

/* Thousands of pointers lead elsewhere: a debugger is not to be asked for what is not in the list of regions. */
static bool may_be_table(const struct tm_stdlib_memory *memory, const struct tm_stdlib_table_layout *layout,
                         uint64_t address)
{
    return tm_stdlib_pointer(address) && address % 8 == 0 &&
           tm_target_available(memory->target, address, layout->size, NULL) == layout->size;
}

bool tm_stdlib_table_read(struct tm_stdlib_memory *memory, const struct tm_stdlib_table_layout *layout,
                          uint64_t address, struct tm_stdlib_table *ret)
{
    uint8_t head[256];
    struct tm_stdlib_window none = {0};
    if (!may_be_table(memory, layout, address))
        return false;
    const uint8_t *bytes = tm_stdlib_at(memory, &none, address, layout->size, head);
    if (!bytes)
        return false;
    struct tm_stdlib_table table = {
        .layout = layout,
        .address = address,
        .nentries = tm_stdlib_u64(bytes + layout->nentries),
        .nbuckets = tm_stdlib_u64(bytes + layout->nbuckets),
        .buckets = tm_stdlib_u64(bytes + layout->buckets),
        .hash = tm_stdlib_u64(bytes + layout->hash),
        .compare = tm_stdlib_u64(bytes + layout->compare),
        .allocate = tm_stdlib_u64(bytes + layout->allocate),
        .key_size = 8,
    };
    /* HASHTABLE_MIN_SIZE 16, HASHTABLE_HIGH 0.50: it grows before it is half full.  A rehash that found no memory leaves
     * a table fuller than that, and it is still used. */
    if (table.nbuckets < 16 || (table.nbuckets & (table.nbuckets - 1)) || table.nbuckets > memory->readable / 8 ||
        table.nentries > memory->readable / layout->entry_size || !tm_stdlib_pointer(table.buckets) ||
        table.buckets % 8)
        return false;
    if (!tm_stdlib_function(memory, table.hash) || !tm_stdlib_function(memory, table.compare) ||
        !optional_function(memory, bytes, layout->get_entry) ||
        !optional_function(memory, bytes, layout->value_destroy) || !tm_stdlib_function(memory, table.allocate) ||
        !tm_stdlib_function(memory, tm_stdlib_u64(bytes + layout->allocate + 8)))
        return false;
    if (layout->key_destroy != TM_STDLIB_NONE && tm_stdlib_u64(bytes + layout->key_destroy) != 0)
        return false;
    if (layout->value_destroy != TM_STDLIB_NONE)
        table.value_destroy = tm_stdlib_u64(bytes + layout->value_destroy);
    if (layout->key_size != TM_STDLIB_NONE) {
        uint64_t key_size = tm_stdlib_u64(bytes + layout->key_size);
        if ((key_size != 8 && key_size != 12) || tm_stdlib_u64(bytes + layout->data_size) != TM_STDLIB_TRACE)
            return false;
        table.key_size = (uint32_t)key_size;
    }
    /* The array of buckets must be there, or at least begin. */
    uint64_t first;
    if (!tm_stdlib_at(memory, &none, table.buckets, sizeof(first), &first))
        return false;
    *ret = table;
    return true;
}

bool tm_stdlib_table_resembles(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table, uint64_t address)
{
    const struct tm_stdlib_table_layout *layout = table->layout;
    uint8_t scratch[256];
    struct tm_stdlib_window none = {0};
    if (!may_be_table(memory, layout, address))
        return false;
    const uint8_t *bytes = tm_stdlib_at(memory, &none, address, layout->size, scratch);
    if (!bytes)
        return false;
    uint64_t nbuckets = tm_stdlib_u64(bytes + layout->nbuckets);
    return nbuckets >= 16 && !(nbuckets & (nbuckets - 1)) &&
           tm_stdlib_u64(bytes + layout->allocate) == table->allocate &&
           tm_stdlib_function(memory, tm_stdlib_u64(bytes + layout->hash)) &&
           tm_stdlib_u64(bytes + layout->compare) != table->compare;
}

void tm_stdlib_table_sample(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table, unsigned *good,
                            unsigned *bad)
{
    struct tm_stdlib_walk walk;
    struct tm_stdlib_trace traces[TM_STDLIB_BATCH];
    struct tm_stdlib_window window = {0};
    *good = *bad = 0;
    tm_stdlib_walk_init(&walk, memory, table);
    /* A table shrinks when less than a tenth of it is used: this many buckets hold a sample, if it is honest. */
    if (walk.last_bucket > SAMPLE_BUCKETS)
        walk.last_bucket = SAMPLE_BUCKETS;
    for (unsigned count; *good < SAMPLE && *bad < SAMPLE && (count = tm_stdlib_walk_next(&walk, 0, traces));) {
        for (unsigned i = 0; i < count; i++) {
            uint8_t head[16];
            const uint8_t *traceback = traces[i].traceback % 4 || !tm_stdlib_pointer(traces[i].traceback)
                                           ? NULL
                                           : tm_stdlib_at(memory, &window, traces[i].traceback, sizeof(head), head);
            uint32_t nframe = 0;
            if (traceback)
                nframe = table->layout->nframe_bytes == 2 ? tm_stdlib_u16(traceback + table->layout->nframe)
                                                          : tm_stdlib_u32(traceback + table->layout->nframe);
            if (nframe >= 1 && nframe <= UINT16_MAX)
                ++*good;
            else
                ++*bad;
        }
        if (walk.torn + walk.unreadable >= SAMPLE)
            break;
    }
    *bad += walk.torn + walk.unreadable + walk.endless;
    tm_stdlib_walk_deinit(&walk);
}

/* ---- walking ------------------------------------------------------------------------------------------------------ */

void tm_stdlib_walk_init(struct tm_stdlib_walk *walk, struct tm_stdlib_memory *memory,
                         const struct tm_stdlib_table *table)
{
    *walk = (struct tm_stdlib_walk){
        .memory = memory, .table = table, .bucket = table->first, .last_bucket = table->nbuckets};
    if (table->rest)
        walk->chains[walk->chain_count++] =
            (struct tm_stdlib_chain){table->rest, table->rest_bucket, table->rest, 0, 1};
    /* A live table may gain a few entries while it is walked. */
    walk->limit = table->nentries + (memory->target->live ? table->nentries / 8 + 1024 : 0);
}

void tm_stdlib_walk_deinit(struct tm_stdlib_walk *walk)
{
    tm_bytes_unload(&walk->chunk);
}

static void note_fault(struct tm_stdlib_walk *walk, struct tm_fault fault, uint64_t count)
{
    if (!walk->unreadable)
        walk->fault = fault;
    walk->unreadable += count;
    if (fault.outcome == TM_READ_INTERRUPTED)
        walk->failed = true;
}

/* Fills walk->entry with the first entries of further chains. */
static void fill(struct tm_stdlib_walk *walk)
{
    const struct tm_stdlib_table *table = walk->table;
    while (walk->chain_count < TM_STDLIB_BATCH && walk->bucket < walk->last_bucket) {
        uint64_t loaded = walk->chunk.size / 8;
        if (walk->bucket - walk->first_bucket >= loaded) {
            if (tm_target_interrupted(walk->memory->target)) {
                note_fault(walk, (struct tm_fault){TM_READ_INTERRUPTED, table->buckets}, 1);
                return;
            }
            uint64_t count =
                walk->last_bucket - walk->bucket < CHUNK_BUCKETS ? walk->last_bucket - walk->bucket : CHUNK_BUCKETS;
            struct tm_fault fault =
                tm_bytes_load(&walk->chunk, walk->memory->target, table->buckets + walk->bucket * 8, count * 8);
            walk->first_bucket = walk->bucket;
            loaded = walk->chunk.size / 8;
            if (loaded < count && !loaded) {
                /* Nothing of this piece: the next one may be there (truncated cores have holes at their end only, but
                 * a filtered one may have one in the middle). */
                note_fault(walk, fault, 1);
                walk->bucket += count;
                continue;
            }
        }
        const uint8_t *heads = walk->chunk.data;
        uint64_t base = walk->first_bucket, end = base + loaded;
        uint64_t bucket = walk->bucket;
        unsigned count = walk->chain_count;
        for (; bucket < end && count < TM_STDLIB_BATCH; bucket++) {
            uint64_t entry = tm_stdlib_u64(heads + (bucket - base) * 8);
            if (entry) {
                walk->chains[count++] = (struct tm_stdlib_chain){entry, bucket, entry, 0, 1};
            }
        }
        walk->bucket = bucket;
        walk->chain_count = count;
    }
}

/* A prefetch of an address that cannot be read does no harm, but the pointer must be one of ours. */
static inline void prefetch(const struct tm_stdlib_window *window, uint64_t address)
{
    uint64_t offset = address - window->start;
    if (offset < window->size)
        __builtin_prefetch(window->data + offset);
}

/* False: it is a circle. */
static inline bool follow(struct tm_stdlib_chain *chain, uint64_t next)
{
    chain->entry = next;
    if (next == chain->anchor)
        return false;
    if (++chain->steps == chain->limit) {
        chain->anchor = next;
        chain->steps = 0;
        chain->limit *= 2;
    }
    return true;
}

/* No block is larger than all memory; what other domains count may be elsewhere (on a GPU). */
static inline bool plausible(const struct tm_stdlib_memory *memory, const struct tm_stdlib_trace *trace)
{
    return trace->domain ? trace->size < UINT64_C(1) << 56 : trace->size <= memory->mapped;
}

unsigned tm_stdlib_walk_next(struct tm_stdlib_walk *walk, uint32_t domain, struct tm_stdlib_trace *ret)
{
    const struct tm_stdlib_table *table = walk->table;
    const struct tm_stdlib_table_layout *layout = table->layout;
    struct tm_stdlib_memory *memory = walk->memory;
    const bool follows = layout->entry_value == TM_STDLIB_NONE;
    const uint64_t entry_size = layout->entry_size + (follows ? table->key_size + TM_STDLIB_TRACE : 0);
    unsigned count = 0;
    while (!count) {
        fill(walk);
        if (!walk->chain_count || walk->failed)
            return 0;
        if (walk->chain_count > walk->limit) {
            walk->endless = true;
            walk->chain_count = (unsigned)walk->limit;
            if (!walk->chain_count)
                return 0;
        }
        walk->limit -= walk->chain_count;

        /* Three rounds over the batch, so that the loads of one round do not wait for each other. */
        for (unsigned i = 0; i < walk->chain_count; i++)
            prefetch(&walk->entries, walk->chains[i].entry);
        unsigned chains = 0;
        uint64_t value[TM_STDLIB_BATCH];
        for (unsigned i = 0; i < walk->chain_count; i++) {
            uint8_t scratch[64];
            const uint8_t *entry = tm_stdlib_at(memory, &walk->entries, walk->chains[i].entry, entry_size, scratch);
            if (!entry) {
                note_fault(walk, memory->fault, 1);
                continue;
            }
            uint64_t next = tm_stdlib_u64(entry);
            struct tm_stdlib_trace *trace = &ret[count];
            trace->address = tm_stdlib_u64(entry + layout->entry_key);
            trace->domain = domain;
            if (table->key_size == 12)
                trace->domain = tm_stdlib_u32(entry + layout->entry_key + 8);
            if (follows) {
                trace->size = tm_stdlib_u64(entry + layout->entry_key + table->key_size);
                trace->traceback = tm_stdlib_u64(entry + layout->entry_key + table->key_size + 8);
            } else {
                value[count] = tm_stdlib_u64(entry + layout->entry_value);
                prefetch(&walk->values, value[count]);
            }
            /* An entry that was freed while a live process is read, or that is now in another chain, gives itself away:
             * neither its key nor its `next` can be believed. */
            uint64_t hash = tm_stdlib_u64(entry + layout->entry_hash);
            if (hash != key_hash(table, trace->address, trace->domain) ||
                (hash & (table->nbuckets - 1)) != walk->chains[i].bucket) {
                walk->torn++;
                continue;
            }
            if (next && follow(&walk->chains[i], next))
                walk->chains[chains++] = walk->chains[i];
            else if (next)
                walk->torn++;
            if (follows && !plausible(memory, trace))
                walk->torn++;
            else
                count++;
        }
        walk->chain_count = chains;
        if (follows) {
            walk->walked += count;
            continue;
        }
        unsigned kept = 0;
        for (unsigned i = 0; i < count; i++) {
            uint8_t scratch[TM_STDLIB_TRACE];
            const uint8_t *trace = tm_stdlib_at(memory, &walk->values, value[i], TM_STDLIB_TRACE, scratch);
            if (!trace) {
                note_fault(walk, memory->fault, 1);
                continue;
            }
            ret[kept].address = ret[i].address;
            ret[kept].domain = ret[i].domain;
            ret[kept].size = tm_stdlib_u64(trace);
            ret[kept].traceback = tm_stdlib_u64(trace + 8);
            if (plausible(memory, &ret[kept]))
                kept++;
            else
                walk->torn++;
        }
        count = kept;
        walk->walked += count;
    }
    return count;
}

/* ---- single entries ----------------------------------------------------------------------------------------------- */

bool tm_stdlib_table_find(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table, uint32_t domain,
                          uint64_t address, struct tm_stdlib_trace *ret)
{
    const struct tm_stdlib_table_layout *layout = table->layout;
    const bool follows = layout->entry_value == TM_STDLIB_NONE;
    const uint64_t entry_size = layout->entry_size + (follows ? table->key_size + TM_STDLIB_TRACE : 0);
    struct tm_stdlib_window none = {0};
    uint8_t scratch[64];
    uint64_t bucket = key_hash(table, address, domain) & (table->nbuckets - 1);
    const uint8_t *head = tm_stdlib_at(memory, &none, table->buckets + bucket * 8, 8, scratch);
    uint64_t next = head && bucket >= table->first ? tm_stdlib_u64(head) : 0;
    if (table->rest && bucket == table->rest_bucket)
        next = table->rest;
    for (uint64_t steps = 0; next && steps <= CHAIN; steps++) {
        const uint8_t *entry = tm_stdlib_at(memory, &none, next, entry_size, scratch);
        if (!entry)
            return false;
        next = tm_stdlib_u64(entry);
        if (tm_stdlib_u64(entry + layout->entry_key) != address)
            continue;
        if (table->key_size == 12 && tm_stdlib_u32(entry + layout->entry_key + 8) != domain)
            continue;
        const uint8_t *trace =
            follows ? entry + layout->entry_key + table->key_size
                    : tm_stdlib_at(memory, &none, tm_stdlib_u64(entry + layout->entry_value), TM_STDLIB_TRACE, scratch);
        if (!trace)
            return false;
        *ret = (struct tm_stdlib_trace){address, tm_stdlib_u64(trace), tm_stdlib_u64(trace + 8), domain};
        return true;
    }
    return false;
}

size_t tm_stdlib_table_pairs(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table, uint64_t (*ret)[2],
                             size_t room)
{
    const struct tm_stdlib_table_layout *layout = table->layout;
    struct tm_stdlib_window buckets = {0}, entries = {0};
    size_t count = 0;
    for (uint64_t bucket = 0; bucket < table->nbuckets && count < room; bucket++) {
        uint8_t scratch[64];
        const uint8_t *head = tm_stdlib_at(memory, &buckets, table->buckets + bucket * 8, 8, scratch);
        uint64_t next = head ? tm_stdlib_u64(head) : 0;
        while (next && count < room) {
            const uint8_t *entry = tm_stdlib_at(memory, &entries, next, layout->entry_size, scratch);
            if (!entry)
                break;
            next = tm_stdlib_u64(entry);
            ret[count][0] = tm_stdlib_u64(entry + layout->entry_key);
            ret[count][1] = tm_stdlib_u64(entry + layout->entry_value);
            count++;
        }
    }
    return count;
}
