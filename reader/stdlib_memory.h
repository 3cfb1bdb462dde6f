/* SPDX-License-Identifier: MIT */
/*
 * Small reads at many places of a target: a window onto the region that was read last, so that the next read there is a
 * comparison and an addition.  Where a target cannot be viewed, tm_target_peek() and its cache take over.
 */
#ifndef TM_STDLIB_MEMORY_H
#define TM_STDLIB_MEMORY_H

#include <string.h>

#include "target.h"

struct tm_stdlib_memory {
    struct tm_target *target;
    bool no_view;
    struct tm_fault fault; /* of the last read that failed */
    uint64_t mapped;       /* bytes of all regions */
    uint64_t readable;     /* those that can be read: no honest table is larger */
};

/* One for each kind of thing that is read, because each kind lies together.  Start with a zeroed struct. */
struct tm_stdlib_window {
    uint64_t start;
    uint64_t size;
    const uint8_t *data;
};

void tm_stdlib_memory_init(struct tm_stdlib_memory *memory, struct tm_target *target);
const uint8_t *tm_stdlib_move_window(struct tm_stdlib_memory *memory, struct tm_stdlib_window *window, uint64_t address,
                                     uint64_t size, void *scratch);

/* The bytes at an address: in the window, or copied to `scratch`.  NULL: memory->fault tells why. */
static inline const uint8_t *tm_stdlib_at(struct tm_stdlib_memory *memory, struct tm_stdlib_window *window,
                                          uint64_t address, uint64_t size, void *scratch)
{
    uint64_t offset = address - window->start;
    if (offset < window->size && size <= window->size - offset)
        return window->data + offset;
    return tm_stdlib_move_window(memory, window, address, size, scratch);
}

static inline uint64_t tm_stdlib_u64(const void *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static inline uint32_t tm_stdlib_u32(const void *bytes)
{
    uint32_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

static inline uint16_t tm_stdlib_u16(const void *bytes)
{
    uint16_t value;
    memcpy(&value, bytes, sizeof(value));
    return value;
}

/* A pointer that a program may hold: not in the first page, not beyond what the hardware gives it. */
static inline bool tm_stdlib_pointer(uint64_t address)
{
    return address >= 4096 && address < UINT64_C(1) << 56;
}

/* May be a function: not in memory that is known to be plain data.  A core need not have the text segments at all
 * (gcore leaves out what can be read from the file). */
bool tm_stdlib_function(const struct tm_stdlib_memory *memory, uint64_t address);

#endif
