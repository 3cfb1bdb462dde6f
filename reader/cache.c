/* SPDX-License-Identifier: MIT */
#include "cache.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BITS 16
#define BLOCK_SIZE (UINT64_C(1) << BLOCK_BITS)
/* 64 MiB at most: a block that is needed takes the place of the one that was used longest ago in its set.  Hash tables are
 * read in several places at once, which may lie a multiple of any size apart. */
#define SETS 256
#define WAYS 4

struct cache_block {
    uint64_t address; /* of its first byte */
    uint64_t valid;   /* bytes read; 0: the slot is empty */
    uint64_t used;    /* when it was last needed */
    struct tm_fault fault;
    uint8_t *bytes;
};

struct tm_cache {
    struct cache_block slots[SETS][WAYS];
    uint64_t clock;
};

void tm_cache_destroy(struct tm_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < SETS * WAYS; i++)
        free(cache->slots[i / WAYS][i % WAYS].bytes);
    free(cache);
}

/* The slot that holds the block, or is to hold it. */
static struct cache_block *find_slot(struct tm_cache *cache, uint64_t start)
{
    struct cache_block *set = cache->slots[(start >> BLOCK_BITS) % SETS], *oldest = set;
    for (unsigned way = 0; way < WAYS; way++) {
        if (set[way].valid && set[way].address == start)
            return &set[way];
        if (set[way].used < oldest->used)
            oldest = &set[way];
    }
    return oldest;
}

static struct cache_block *load(struct tm_cache *cache, struct tm_target *target, uint64_t address)
{
    const struct tm_region *region = tm_target_region(target, address);
    if (!region)
        return NULL;
    /* From the start of the region, if that lies inside the block: what is before it cannot be read. */
    uint64_t start = address & ~(BLOCK_SIZE - 1);
    uint64_t end = start + (BLOCK_SIZE - 1); /* last byte; no overflow */
    if (start < region->start)
        start = region->start;
    struct cache_block *block = find_slot(cache, start);
    block->used = ++cache->clock;
    if (block->valid && block->address == start && address - start < block->valid)
        return block;
    if (!block->bytes) {
        block->bytes = malloc(BLOCK_SIZE);
        if (!block->bytes)
            return NULL;
    }
    block->address = start;
    block->valid = 0;
    uint64_t available = tm_target_available(target, start, end - start + 1, &block->fault);
    if (!available)
        return NULL;
    struct tm_fault fault = tm_target_read(target, start, block->bytes, available);
    if (fault.outcome != TM_READ_OK) {
        block->fault = fault;
        available = fault.address - start;
    }
    block->valid = available;
    return address - start < available ? block : NULL;
}

struct tm_fault tm_cache_read(struct tm_cache **cache, struct tm_target *target, uint64_t address, void *buffer,
                              uint64_t size)
{
    if (!*cache)
        *cache = calloc(1, sizeof(**cache));
    uint64_t done = 0;
    while (*cache && done < size) {
        struct cache_block *block = load(*cache, target, address + done);
        if (!block)
            break;
        uint64_t offset = address + done - block->address;
        uint64_t piece = block->valid - offset;
        if (piece > size - done)
            piece = size - done;
        memcpy((uint8_t *)buffer + done, block->bytes + offset, piece);
        done += piece;
    }
    if (done == size)
        return (struct tm_fault){TM_READ_OK, address + size};
    /* The plain read knows why it fails. */
    struct tm_fault fault = tm_target_read(target, address + done, (uint8_t *)buffer + done, size - done);
    return fault;
}
