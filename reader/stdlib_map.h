/* SPDX-License-Identifier: MIT */
/*
 * uint64 -> uint32, for interning by address.  Its own, because it is asked once per trace (millions) and a lookup must
 * cost no more than the cache line that it touches.
 */
#ifndef TM_STDLIB_MAP_H
#define TM_STDLIB_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

struct tm_stdlib_map_item {
    uint64_t key; /* 0: free */
    uint32_t value;
};

/* Start with a zeroed struct. */
struct tm_stdlib_map {
    struct tm_stdlib_map_item *items;
    uint64_t count;
    uint64_t mask; /* items - 1 */
};

static inline uint64_t tm_stdlib_map_hash(uint64_t key)
{
    key *= UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing: addresses differ in their middle bits */
    return key ^ key >> 32;
}

static inline void tm_stdlib_map_free(struct tm_stdlib_map *map)
{
    free(map->items);
    *map = (struct tm_stdlib_map){0};
}

static inline bool tm_stdlib_map_grow(struct tm_stdlib_map *map)
{
    uint64_t room = map->items ? 2 * (map->mask + 1) : 1024;
    struct tm_stdlib_map_item *items = calloc(room, sizeof(*items));
    if (!items)
        return false;
    for (uint64_t i = 0; map->items && i <= map->mask; i++) {
        if (!map->items[i].key)
            continue;
        uint64_t at = tm_stdlib_map_hash(map->items[i].key) & (room - 1);
        while (items[at].key)
            at = (at + 1) & (room - 1);
        items[at] = map->items[i];
    }
    free(map->items);
    map->items = items;
    map->mask = room - 1;
    return true;
}

/* The item with this key, which must not be 0; its key is 0 if it is not there yet: then set key and value, and call
 * tm_stdlib_map_added().  NULL: no memory.  Valid until the next call. */
static inline struct tm_stdlib_map_item *tm_stdlib_map_at(struct tm_stdlib_map *map, uint64_t key)
{
    if ((!map->items || map->count * 2 > map->mask) && !tm_stdlib_map_grow(map))
        return NULL;
    uint64_t at = tm_stdlib_map_hash(key) & map->mask;
    while (map->items[at].key && map->items[at].key != key)
        at = (at + 1) & map->mask;
    return &map->items[at];
}

static inline bool tm_stdlib_map_put(struct tm_stdlib_map *map, uint64_t key, uint32_t value)
{
    struct tm_stdlib_map_item *item = tm_stdlib_map_at(map, key);
    if (!item)
        return false;
    if (!item->key) {
        item->key = key;
        map->count++;
    }
    item->value = value;
    return true;
}

#endif
