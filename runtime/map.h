/* SPDX-License-Identifier: MIT */
/*
 * The address map: from a block's address to its slot (layout.h has the geometry).  Leaves and directories are made on
 * demand and never go away; two threads that race for one settle it by compare-and-swap.
 */
#ifndef TM_MAP_H
#define TM_MAP_H

#include "runtime.h"

#define TM_MAP_INDEX(address, level)                                                                                   \
    (((address) >> (TM_LEAF_ADDRESS_BITS + (level)*TM_DIRECTORY_BITS)) & ((UINT64_C(1) << TM_DIRECTORY_BITS) - 1))

#define TM_SLOT_INDEX(address) (((address) >> TM_GRANULE_BITS) & ((1u << TM_LEAF_SLOT_BITS) - 1))

/* map.c: makes what is missing on the way; NULL when there is no memory or the address has more than 48 bits. */
uint64_t *tm_map_make_slot(uintptr_t address);
void tm_map_wipe(void);
/* Calls visit(address of the granule, slot, size, argument) for every traced block. */
void tm_map_visit(void (*visit)(uintptr_t, uint64_t, uint64_t, void *), void *argument);

/* The slot, or NULL where no leaf is. */
static TM_ALWAYS_INLINE uint64_t *tm_map_find_slot(uintptr_t address)
{
    uint64_t first = address >> (TM_LEAF_ADDRESS_BITS + TM_DIRECTORY_BITS);
    if (TM_UNLIKELY(first >= UINT64_C(1) << TM_DIRECTORY_BITS))
        return NULL; /* more than 48 bits */
    const char *directory = (const char *)__atomic_load_n(&tm_runtime.map[first], __ATOMIC_ACQUIRE);
    if (TM_UNLIKELY(!directory))
        return NULL;
    const uint64_t *leaves = (const uint64_t *)(directory + sizeof(struct tm_chunk));
    char *leaf = (char *)__atomic_load_n(&leaves[TM_MAP_INDEX(address, 0)], __ATOMIC_ACQUIRE);
    if (TM_UNLIKELY(!leaf))
        return NULL;
    uint64_t *slots = (uint64_t *)(leaf + TM_LEAF_DATA_OFFSET);
    return &slots[TM_SLOT_INDEX(address)];
}

/* Is there anything in the slot of an address?  Nothing is in that of NULL. */
static TM_ALWAYS_INLINE bool tm_map_holds(uintptr_t address)
{
    const uint64_t *slot = tm_map_find_slot(address);
    return slot && __atomic_load_n(slot, __ATOMIC_RELAXED);
}

/*
 * Leaves that were met lately, at the places that the lowest bits of `which` give them: one load and one comparison where the
 * tree takes three loads.  Only who holds the main interpreter's GIL may look here, or write.
 */
#define TM_KNOWN_LEAF_BITS 8 /* 1 GiB of addresses */
struct tm_known_leaves {
    /* address >> TM_LEAF_ADDRESS_BITS; of an unused place one that belongs elsewhere */
    uint64_t which[1 << TM_KNOWN_LEAF_BITS];
    uint64_t *slots[1 << TM_KNOWN_LEAF_BITS];
};
extern struct tm_known_leaves tm_known_leaves TM_HIDDEN;

static TM_ALWAYS_INLINE uint32_t tm_map_place_of_leaf(uintptr_t address)
{
    return (address >> TM_LEAF_ADDRESS_BITS) & ((1u << TM_KNOWN_LEAF_BITS) - 1);
}

/* The slot, or NULL: tm_map_find_slot() knows more. */
static TM_ALWAYS_INLINE uint64_t *tm_map_known_slot(uintptr_t address)
{
    uint32_t place = tm_map_place_of_leaf(address);
    if (TM_UNLIKELY(tm_known_leaves.which[place] != address >> TM_LEAF_ADDRESS_BITS))
        return NULL;
    uint64_t *slot = &tm_known_leaves.slots[place][TM_SLOT_INDEX(address)];
    if (!slot)
        __builtin_unreachable(); /* spares callers the comparison */
    return slot;
}

/*
 * Blocks that come, or go, one after the other often lie side by side, and waiting for a slot that is in no cache is what a hook
 * does longest where there are many blocks: so the cache lines beside a slot are asked for ahead of time.  New blocks mostly
 * lie above the last one, those that go on either side.  No address is wrong for that (Intel SDM, PREFETCHh: it cannot fault).
 */
#define TM_CACHE_LINE 64

static TM_ALWAYS_INLINE void tm_map_expect_above(const uint64_t *slot)
{
    __builtin_prefetch((const void *)((uintptr_t)slot + TM_CACHE_LINE), 1);
}

static TM_ALWAYS_INLINE void tm_map_expect_beside(const uint64_t *slot)
{
    tm_map_expect_above(slot);
    __builtin_prefetch((const void *)((uintptr_t)slot - TM_CACHE_LINE), 1);
}

/* To be found there from now on. */
static inline void tm_map_know(uintptr_t address, uint64_t *slot)
{
    uint32_t place = tm_map_place_of_leaf(address);
    tm_known_leaves.which[place] = address >> TM_LEAF_ADDRESS_BITS;
    tm_known_leaves.slots[place] = slot - TM_SLOT_INDEX(address);
}

static TM_ALWAYS_INLINE uint64_t *tm_map_slot(uintptr_t address)
{
    uint64_t *slot = tm_map_find_slot(address);
    return TM_LIKELY(slot != NULL) ? slot : tm_map_make_slot(address);
}

static TM_ALWAYS_INLINE uint32_t tm_slot_stack(uint64_t slot)
{
    return (uint32_t)(slot >> TM_SLOT_STACK_SHIFT) & TM_SLOT_STACK_MASK;
}

/* Size of the block whose slot has this value; big ones have it in the next slot. */
static TM_ALWAYS_INLINE uint64_t tm_slot_size(uintptr_t address, uint64_t slot)
{
    uint64_t size = slot & TM_SLOT_SIZE_MASK;
    if (TM_LIKELY(size != TM_SLOT_SIZE_BIG))
        return size;
    const uint64_t *extension = tm_map_find_slot(address + (1 << TM_GRANULE_BITS));
    return extension ? __atomic_load_n(extension, __ATOMIC_ACQUIRE) & ~TM_SLOT_EXTENSION : 0;
}

/* Publishes a block with one store to its slot.  False: the size needs a second slot that could not be made. */
static TM_ALWAYS_INLINE bool tm_slot_publish(uintptr_t address, uint64_t *slot, uint32_t stack, uint64_t size)
{
    uint64_t low = size;
    if (TM_UNLIKELY(size >= TM_SLOT_SIZE_BIG)) {
        uint64_t *extension = tm_map_slot(address + (1 << TM_GRANULE_BITS));
        if (!extension)
            return false;
        __atomic_store_n(extension, TM_SLOT_EXTENSION | size, __ATOMIC_RELEASE);
        low = TM_SLOT_SIZE_BIG;
    }
    __atomic_store_n(slot, (uint64_t)stack << TM_SLOT_STACK_SHIFT | low, __ATOMIC_RELEASE);
    return true;
}

/* Retracts a block: first its slot, then the extension. */
static TM_ALWAYS_INLINE void tm_slot_retract(uintptr_t address, uint64_t *slot, uint64_t value)
{
    __atomic_store_n(slot, 0, __ATOMIC_RELEASE);
    if (TM_UNLIKELY((value & TM_SLOT_SIZE_MASK) == TM_SLOT_SIZE_BIG)) {
        uint64_t *extension = tm_map_find_slot(address + (1 << TM_GRANULE_BITS));
        if (extension)
            __atomic_store_n(extension, 0, __ATOMIC_RELEASE);
    }
}

#endif
