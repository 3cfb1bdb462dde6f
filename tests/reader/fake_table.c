/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "fake.h"

#define ARENA_ROOM (UINT64_C(256) << 20) /* address space; only what is used becomes memory */
#define CHUNK_SHIFT 8                    /* small chunks, so that tables have several */
#define DIRECTORY 1024

void *fake_at(struct fake *fake, uint64_t address)
{
    if (address >= FAKE_ARENA)
        return fake->arena + (address - FAKE_ARENA);
    return fake->data + (address - FAKE_DATA);
}

static struct tm_chunk *new_chunk(struct fake *fake, enum tm_chunk_kind kind, uint32_t index, uint32_t data_offset,
                                  uint32_t element_size, uint64_t capacity)
{
    uint64_t bytes = (data_offset + element_size * capacity + 4095) & ~UINT64_C(4095);
    struct tm_chunk *chunk = (struct tm_chunk *)(void *)(fake->arena + fake->arena_size);
    *chunk = (struct tm_chunk){
        .magic = TM_CHUNK_MAGIC,
        .kind = kind,
        .index = index,
        .self = FAKE_ARENA + fake->arena_size,
        .bytes = bytes,
        .data_offset = data_offset,
        .element_size = element_size,
        .capacity = capacity,
        .used = capacity,
    };
    fake->arena_size += bytes;
    return chunk;
}

static struct tm_table new_table(struct fake *fake, enum tm_chunk_kind kind, uint32_t element_size)
{
    return (struct tm_table){
        .directory = new_chunk(fake, TM_CHUNK_DIRECTORY, 0, sizeof(struct tm_chunk), 8, DIRECTORY)->self,
        .kind = kind,
        .element_size = element_size,
        .chunk_shift = CHUNK_SHIFT,
        .directory_capacity = DIRECTORY,
    };
}

static uint64_t *directory_entry(struct fake *fake, uint64_t directory, uint64_t index)
{
    return (uint64_t *)fake_at(fake, directory + sizeof(struct tm_chunk)) + index;
}

struct tm_chunk *fake_chunk(struct fake *fake, const struct tm_table *table, uint64_t element)
{
    uint64_t *entry = directory_entry(fake, table->directory, element >> CHUNK_SHIFT);
    if (!*entry)
        *entry = new_chunk(fake, table->kind, (uint32_t)(element >> CHUNK_SHIFT), sizeof(struct tm_chunk),
                           table->element_size, 1 << CHUNK_SHIFT)
                     ->self;
    return fake_at(fake, *entry);
}

static void *element(struct fake *fake, const struct tm_table *table, uint64_t index)
{
    struct tm_chunk *chunk = fake_chunk(fake, table, index);
    return (uint8_t *)chunk + chunk->data_offset + (index & ((1 << CHUNK_SHIFT) - 1)) * table->element_size;
}

static void publish(struct fake *fake, struct tm_table *table, uint64_t count)
{
    fake_chunk(fake, table, count - 1)->used = ((count - 1) & ((1 << CHUNK_SHIFT) - 1)) + 1;
    table->count = count;
}

void fake_init(struct fake *fake)
{
    *fake = (struct fake){.data_size = 4 * TM_ROOT_ALIGN};
    fake->data = calloc(1, fake->data_size);
    fake->arena = calloc(1, ARENA_ROOM);
    struct tm_chunk *state = new_chunk(fake, TM_CHUNK_STATE, 0, sizeof(struct tm_chunk), sizeof(struct tm_state), 1);
    fake->root = fake_at(fake, FAKE_ROOT);
    *fake->root = (struct tm_root){
        .magic = TM_ROOT_MAGIC,
        .byte_order = TM_BYTE_ORDER,
        .layout_version = TM_LAYOUT_VERSION,
        .self = FAKE_ROOT,
        .state = state->self,
        .root_size = sizeof(struct tm_root),
        .state_size = sizeof(struct tm_state),
        .chunk_size = sizeof(struct tm_chunk),
        .table_size = sizeof(struct tm_table),
        .shard_size = sizeof(struct tm_shard),
        .pid = 1234,
        .python_version = 0x030c01f0,
        .granule_bits = TM_GRANULE_BITS,
        .leaf_slot_bits = TM_LEAF_SLOT_BITS,
        .directory_bits = TM_DIRECTORY_BITS,
        .runtime_version = "0.1.0",
        .python = "3.12.1",
    };
    fake->state = fake_at(fake, state->self + sizeof(struct tm_chunk));
    fake->state->tracing = 1;
    fake->state->frame_limit = 25;
    fake->state->started = UINT64_C(1700000000) * 1000000000;
    fake->state->shard_count = 2;
    fake->state->check = tm_state_check(fake->state);
    fake->state->map = new_chunk(fake, TM_CHUNK_DIRECTORY, 0, sizeof(struct tm_chunk), 8, 1 << TM_DIRECTORY_BITS)->self;
    fake->state->stacks = new_table(fake, TM_CHUNK_STACKS, sizeof(struct tm_stack));
    fake->state->locations = new_table(fake, TM_CHUNK_LOCATIONS, sizeof(struct tm_location));
    fake->state->strings = new_table(fake, TM_CHUNK_STRINGS, TM_STRING_UNIT);
    fake->state->foreign = new_table(fake, TM_CHUNK_FOREIGN, sizeof(struct tm_foreign));
    for (int i = 0; i < 2; i++)
        fake->state->shards[i].totals = new_table(fake, TM_CHUNK_TOTALS, sizeof(struct tm_totals));
    fake->state->strings.count = 1;
    fake->unknown = fake_string(fake, "<unknown>", 9);
    fake_location(fake, "<unknown>", "<unknown>", 0);
    fake_stack(fake, TM_STACK_NONE, 0);
    fake_stack(fake, TM_STACK_NONE, 0);
}

void fake_deinit(struct fake *fake)
{
    free(fake->data);
    free(fake->arena);
}

uint32_t fake_string(struct fake *fake, const void *bytes, uint32_t length)
{
    struct tm_table *strings = &fake->state->strings;
    uint64_t units = (sizeof(struct tm_string) + length + 1 + 7) / 8, in_chunk = 1 << CHUNK_SHIFT;
    uint64_t at = strings->count;
    if (in_chunk - (at & (in_chunk - 1)) < units)
        at = (at | (in_chunk - 1)) + 1;
    struct tm_string *string = element(fake, strings, at);
    string->length = length;
    string->check = tm_string_check((uint32_t)at, bytes, length);
    memcpy(string + 1, bytes, length);
    publish(fake, strings, at + units);
    return (uint32_t)at;
}

uint32_t fake_location(struct fake *fake, const char *filename, const char *name, uint32_t lineno)
{
    struct tm_table *locations = &fake->state->locations;
    struct tm_location location = {.filename = fake_string(fake, filename, (uint32_t)strlen(filename)),
                                   .name = fake_string(fake, name, (uint32_t)strlen(name)),
                                   .lineno = lineno};
    uint32_t number = (uint32_t)locations->count;
    location.check = tm_location_check(number, &location);
    memcpy(element(fake, locations, number), &location, sizeof(location));
    publish(fake, locations, number + 1);
    return number;
}

uint32_t fake_stack(struct fake *fake, uint32_t parent, uint32_t location)
{
    struct tm_table *stacks = &fake->state->stacks;
    struct tm_stack below = {0};
    if (parent)
        memcpy(&below, element(fake, stacks, parent), sizeof(below));
    struct tm_stack stack = {.parent = parent, .location = location, .depth = below.depth + 1};
    uint32_t number = (uint32_t)stacks->count;
    stack.check = tm_stack_check(number, &stack);
    memcpy(element(fake, stacks, number), &stack, sizeof(stack));
    publish(fake, stacks, number + 1);
    return number;
}

struct tm_totals *fake_totals(struct fake *fake, uint32_t shard, uint32_t stack)
{
    return element(fake, &fake->state->shards[shard].totals, stack);
}

struct tm_chunk *fake_leaf(struct fake *fake, uint64_t address)
{
    uint64_t leaf = address >> TM_LEAF_ADDRESS_BITS, low = leaf >> TM_DIRECTORY_BITS;
    uint64_t *entry = directory_entry(fake, fake->state->map, low);
    if (!*entry)
        *entry = new_chunk(fake, TM_CHUNK_DIRECTORY, (uint32_t)low, sizeof(struct tm_chunk), 8, 1 << TM_DIRECTORY_BITS)
                     ->self;
    entry = directory_entry(fake, *entry, leaf & ((1 << TM_DIRECTORY_BITS) - 1));
    if (!*entry) {
        *entry = new_chunk(fake, TM_CHUNK_LEAF, (uint32_t)leaf, TM_LEAF_DATA_OFFSET, 8, 1 << TM_LEAF_SLOT_BITS)->self;
        fake->state->leaf_count++;
    }
    return fake_at(fake, *entry);
}

uint64_t *fake_slot(struct fake *fake, uint64_t address)
{
    struct tm_chunk *leaf = fake_leaf(fake, address);
    return (uint64_t *)(void *)((uint8_t *)leaf + leaf->data_offset) +
           ((address >> TM_GRANULE_BITS) & ((1 << TM_LEAF_SLOT_BITS) - 1));
}

static void count(struct fake *fake, uint64_t size, uint32_t stack)
{
    struct tm_shard *shard = &fake->state->shards[stack & 1];
    struct tm_totals *totals = fake_totals(fake, stack & 1, stack);
    totals->bytes += (int64_t)size;
    totals->blocks += TM_COUNT_STEP;
    shard->live_bytes += (int64_t)size;
    uint64_t live = (uint64_t)(fake->state->shards[0].live_bytes + fake->state->shards[1].live_bytes);
    if (live > shard->peak)
        shard->peak = live;
}

void fake_block(struct fake *fake, uint64_t address, uint64_t size, uint32_t stack)
{
    uint64_t *slot = fake_slot(fake, address);
    if (size < TM_SLOT_SIZE_BIG) {
        *slot = size | (uint64_t)stack << TM_SLOT_STACK_SHIFT;
    } else {
        *slot = TM_SLOT_SIZE_BIG | (uint64_t)stack << TM_SLOT_STACK_SHIFT;
        *fake_slot(fake, address + 16) = TM_SLOT_EXTENSION | size;
    }
    count(fake, size, stack);
}

void fake_foreign(struct fake *fake, uint64_t address, uint64_t size, uint32_t domain, uint32_t stack)
{
    struct tm_table *foreign = &fake->state->foreign;
    struct tm_foreign record = {.address = address, .size = size, .domain = domain, .stack = stack};
    memcpy(element(fake, foreign, foreign->count), &record, sizeof(record));
    publish(fake, foreign, foreign->count + 1);
    if (stack)
        count(fake, size, stack);
}
