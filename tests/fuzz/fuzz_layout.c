/* SPDX-License-Identifier: MIT */
/*
 * tm's own table with damage anywhere.  The input is a list of {place: 4 bytes, value: 8 bytes} that is written over a sound
 * table, and everything that verbs ask of it must be answered or refused.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/ask.h"
#include "tests/reader/fake_memory.c"
#include "tests/reader/fake_table.c"

#define HEAP UINT64_C(0x7e0000000000)

static struct fake fake;

static struct fake_memory memory;

static void build(void)
{
    fake_init(&fake);
    uint32_t outer = fake_stack(&fake, TM_STACK_NONE, fake_location(&fake, "/src/a.py", "main", 10));
    uint32_t inner = fake_stack(&fake, outer, fake_location(&fake, "/src/b.py", "\xed\xb3\xbf", 20));
    fake_block(&fake, HEAP, 100, outer);
    fake_block(&fake, HEAP + 0x1000, UINT64_C(5) << 30, inner);
    fake_foreign(&fake, 0xdead, 4096, 99, inner);
    fake_memory_init(&memory, &fake);
}

/* Heads of chunks and first elements are where damage does most: a quarter of all places each go into the root, the
 * state, the first words of any page, and anywhere. */
static uint64_t *place_of(uint32_t place)
{
    uint64_t pages = fake.arena_size / 4096, at = (place & 0x3fffffff) >> 8, word = place & 0xff;
    switch (place >> 30) {
    case 0:
        return (uint64_t *)(void *)fake.root + at % (sizeof(struct tm_root) / 8);
    case 1:
        return (uint64_t *)(void *)fake.state + at % (sizeof(struct tm_state) / 8);
    case 2:
        return (uint64_t *)(void *)(fake.arena + (at % pages) * 4096) + word % 32;
    default:
        return (uint64_t *)(void *)fake.arena + (at << 8 | word) % (fake.arena_size / 8);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct {
        uint64_t *at;
        uint64_t old;
    } changes[32];
    size_t count = 0;
    if (!fake.root)
        build();
    /* Check words keep most damage from what comes after them; in version 1 there are none. */
    fake.root->layout_version = 1 + size % 2;
    for (; count < 32 && size >= 12; count++, bytes += 12, size -= 12) {
        uint32_t place;
        uint64_t value;
        memcpy(&place, bytes, sizeof(place));
        memcpy(&value, bytes + 4, sizeof(value));
        changes[count].at = place_of(place);
        changes[count].old = *changes[count].at;
        /* as it is, a small change, or an address within the table */
        if (value >> 62 == 1)
            value = changes[count].old + (value & 0xff) - 128;
        else if (value >> 62 == 2)
            value = FAKE_ARENA + value % fake.arena_size;
        *changes[count].at = value;
    }
    struct tm_model *model = NULL;
    struct tm_error *error = tm_layout_decoder.open(&memory.target, &model);
    if (model) {
        ask_everything(model, HEAP + 0x1100);
        tm_model_destroy(model);
    }
    tm_error_destroy(error);
    while (count--)
        *changes[count].at = changes[count].old;
    return 0;
}
