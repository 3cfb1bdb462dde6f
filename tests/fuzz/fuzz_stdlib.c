/* SPDX-License-Identifier: MIT */
/*
 * tracemalloc's tables with damage anywhere.  The first byte chooses the version, and the rest is a list of
 * {place: 4 bytes, value: 8 bytes} that is written over sound tables: that goes deeper than tables made of noise, which
 * would not be recognised.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/stdlib/fake_tables.c"

static struct tm_error *ignore(void *context, const struct tm_block *blocks, size_t count)
{
    uint64_t *sum = context;
    for (size_t i = 0; i < count; i++)
        *sum += blocks[i].size;
    return NULL;
}

static void ignore_finding(void *context, const char *finding)
{
    *(uint64_t *)context += strlen(finding);
}

/* Where damage does most: heads of tables, first traces, tracebacks and names come first in both regions. */
static void damage(struct fake *fake, const uint8_t *bytes)
{
    uint32_t place;
    uint64_t value;
    memcpy(&place, bytes, sizeof(place));
    memcpy(&value, bytes + sizeof(place), sizeof(value));
    uint32_t how = place >> 30;
    uint64_t address =
        how & 1 ? FAKE_DATA + (place & 0xffffff) % FAKE_DATA_SIZE : FAKE_HEAP + (place & 0xffffff) % (fake->used - 8);
    if (address + 8 > FAKE_DATA + FAKE_DATA_SIZE && address < FAKE_HEAP)
        return;
    /* A value as it is, or one that points into the tables. */
    if (how & 2)
        value = FAKE_HEAP + value % FAKE_HEAP_SIZE;
    fake_set(fake, address, value);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2)
        return 0;
    struct fake *fake = fake_create(&(struct fake_options){
        .family = &tm_stdlib_families[(bytes[0] & 15) % tm_stdlib_family_count],
        .version = bytes[0] & 16 ? "3.12.1" : NULL,
        .chars = bytes[0] & 32,
        .wide_keys = (bytes[0] & 15) % tm_stdlib_family_count == 0 && bytes[0] & 64,
        .foreign = true,
        .traces = 40,
        .nframe = 1 + (bytes[1] >> 1) % 8,
        .nbuckets = bytes[1] & 64 ? 64 : 0,
    });
    if (bytes[1] & 64) /* 40 traces in 64 buckets: it must grow */
        fake_rehash(fake, bytes[1] % 64);
    if (bytes[1] & 128) {
        fake->regions[2].saved = fake->used / 2;
        fake->regions[2].missing = TM_READ_TRUNCATED;
    }
    for (size_t at = 2; at + 12 <= size; at += 12)
        damage(fake, bytes + at);
    struct tm_model *model = NULL;
    struct tm_error *error = tm_stdlib_decoder.open(&fake->target, &model);
    tm_error_destroy(error);
    if (model) {
        uint64_t sum = 0;
        struct tm_block found;
        bool there;
        tm_error_destroy(tm_model_each_block(model, ignore, &sum));
        tm_error_destroy(tm_model_find_block(model, fake_address(3) + 20, &found, &there));
        tm_error_destroy(tm_model_find_block(model, 0x1010, &found, &there));
        tm_error_destroy(model->ops->check(model, ignore_finding, &sum));
        tm_model_destroy(model);
    }
    fake_destroy(fake);
    return 0;
}
