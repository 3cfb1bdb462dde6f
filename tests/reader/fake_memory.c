/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "fake.h"

static const void *view(struct tm_target *target, uint64_t address, uint64_t size)
{
    const struct tm_region *region = tm_target_region(target, address);
    if (!region || region->end - address < size)
        return NULL;
    return fake_at(((struct fake_memory *)target)->fake, address);
}

static struct tm_fault copy(struct tm_target *target, uint64_t address, void *buffer, uint64_t size)
{
    const void *bytes = view(target, address, size);
    if (!bytes)
        return (struct tm_fault){TM_READ_UNMAPPED, address};
    memcpy(buffer, bytes, size);
    return (struct tm_fault){TM_READ_OK, address + size};
}

void fake_memory_init(struct fake_memory *memory, struct fake *fake)
{
    static const struct tm_target_ops ops = {.read = copy, .view = view};
    *memory = (struct fake_memory){.fake = fake};
    memory->regions[0] = (struct tm_region){.start = FAKE_DATA,
                                            .end = FAKE_DATA + fake->data_size,
                                            .saved = fake->data_size,
                                            .flags = 6,
                                            .path = "/x/_tm.so"};
    memory->regions[1] = (struct tm_region){
        .start = FAKE_ARENA, .end = FAKE_ARENA + fake->arena_size, .saved = fake->arena_size, .flags = 6};
    memory->target =
        (struct tm_target){.ops = &ops, .regions = memory->regions, .region_count = 2, .name = (char *)"fake"};
}
