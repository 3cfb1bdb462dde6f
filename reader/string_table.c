/* SPDX-License-Identifier: MIT */
#include "string_table.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 65536

struct tm_strings_block {
    struct tm_strings_block *next;
    size_t used;
    size_t room;
    char bytes[];
};

static uint64_t hash(const void *bytes, uint32_t length)
{
    uint64_t value = length, word;
    const uint8_t *at = bytes;
    for (; length >= 8; length -= 8, at += 8) {
        memcpy(&word, at, 8);
        value = tm_mix(value ^ word);
    }
    word = 0;
    memcpy(&word, at, length);
    return tm_mix(value ^ word);
}

struct tm_error *tm_strings_init(struct tm_strings *strings)
{
    uint32_t empty;
    return tm_strings_intern(strings, "", 0, false, &empty);
}

void tm_strings_deinit(struct tm_strings *strings)
{
    while (strings->blocks) {
        struct tm_strings_block *next = strings->blocks->next;
        free(strings->blocks);
        strings->blocks = next;
    }
    free(strings->items);
    free(strings->buckets);
    *strings = (struct tm_strings){0};
}

static struct tm_error *grow(struct tm_strings *strings)
{
    uint32_t room = strings->room ? strings->room * 2 : 256;
    uint32_t bucket_count = room * 2;
    if (room > (UINT32_C(1) << 29))
        return tm_error_no_memory();
    struct tm_string_ref *items = reallocarray(strings->items, room, sizeof(*items));
    if (!items)
        return tm_error_no_memory();
    strings->items = items;
    uint32_t *buckets = calloc(bucket_count, sizeof(*buckets));
    if (!buckets)
        return tm_error_no_memory();
    for (uint32_t i = 0; i < strings->count; i++) {
        uint32_t bucket = hash(items[i].bytes, items[i].length) & (bucket_count - 1);
        while (buckets[bucket])
            bucket = (bucket + 1) & (bucket_count - 1);
        buckets[bucket] = i + 1;
    }
    free(strings->buckets);
    strings->buckets = buckets;
    strings->bucket_count = bucket_count;
    strings->room = room;
    return NULL;
}

static const char *copy_bytes(struct tm_strings *strings, const void *bytes, uint32_t length)
{
    struct tm_strings_block *block = strings->blocks;
    if (!block || block->room - block->used < length) {
        size_t room = length > BLOCK_SIZE ? length : BLOCK_SIZE;
        block = malloc(sizeof(*block) + room);
        if (!block)
            return NULL;
        *block = (struct tm_strings_block){.next = strings->blocks, .room = room};
        strings->blocks = block;
    }
    char *copy = block->bytes + block->used;
    memcpy(copy, bytes, length);
    block->used += length;
    return copy;
}

struct tm_error *tm_strings_intern(struct tm_strings *strings, const void *bytes, uint32_t length, bool copy,
                                   uint32_t *ret)
{
    if (strings->count == strings->room) {
        struct tm_error *error = grow(strings);
        if (error)
            return error;
    }
    uint32_t bucket = hash(bytes, length) & (strings->bucket_count - 1);
    for (; strings->buckets[bucket]; bucket = (bucket + 1) & (strings->bucket_count - 1)) {
        uint32_t number = strings->buckets[bucket] - 1;
        const struct tm_string_ref *item = &strings->items[number];
        if (item->length == length && !memcmp(item->bytes, bytes, length)) {
            *ret = number;
            return NULL;
        }
    }
    const char *kept = copy ? copy_bytes(strings, bytes, length) : bytes;
    if (!kept)
        return tm_error_no_memory();
    strings->items[strings->count] = (struct tm_string_ref){kept, length};
    *ret = strings->count++;
    strings->buckets[bucket] = strings->count;
    return NULL;
}

int tm_strings_compare(const struct tm_strings *strings, uint32_t left, uint32_t right)
{
    if (left == right)
        return 0;
    const struct tm_string_ref *a = &strings->items[left], *b = &strings->items[right];
    int order = memcmp(a->bytes, b->bytes, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}
