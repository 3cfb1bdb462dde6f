/* SPDX-License-Identifier: MIT */
#include "stdlib_memory.h"

void tm_stdlib_memory_init(struct tm_stdlib_memory *memory, struct tm_target *target)
{
    *memory = (struct tm_stdlib_memory){.target = target, .no_view = !target->ops->view};
    for (size_t i = 0; i < target->region_count; i++) {
        memory->mapped += target->regions[i].end - target->regions[i].start;
        memory->readable += target->regions[i].saved;
    }
}

const uint8_t *tm_stdlib_move_window(struct tm_stdlib_memory *memory, struct tm_stdlib_window *window, uint64_t address,
                                     uint64_t size, void *scratch)
{
    struct tm_target *target = memory->target;
    if (!memory->no_view) {
        const struct tm_region *region = tm_target_region(target, address);
        const void *data = region && region->saved ? tm_target_view(target, region->start, region->saved) : NULL;
        if (data) {
            *window = (struct tm_stdlib_window){region->start, region->saved, data};
            uint64_t offset = address - window->start;
            if (offset < window->size && size <= window->size - offset)
                return window->data + offset;
        }
    }
    struct tm_fault fault = tm_target_peek(target, address, scratch, size);
    if (fault.outcome == TM_READ_OK)
        return scratch;
    memory->fault = fault;
    return NULL;
}

bool tm_stdlib_function(const struct tm_stdlib_memory *memory, uint64_t address)
{
    if (!tm_stdlib_pointer(address))
        return false;
    const struct tm_region *region = tm_target_region(memory->target, address);
    return !region || !(region->flags & TM_REGION_WRITE) || (region->flags & TM_REGION_EXECUTE);
}
