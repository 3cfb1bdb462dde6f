/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <unistd.h>

#include "map.h"

struct tm_known_leaves tm_known_leaves = {.which = {[0] = 1}};

/* Puts a new chunk into an empty directory entry; whoever comes second gives theirs back. */
static uint64_t install(uint64_t *entry, struct tm_chunk *chunk)
{
    uint64_t expected = 0;
    if (!chunk)
        return 0;
    if (__atomic_compare_exchange_n(entry, &expected, (uintptr_t)chunk, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return (uintptr_t)chunk;
    tm_arena_give_back(chunk);
    return expected;
}

uint64_t *tm_map_make_slot(uintptr_t address)
{
    if (address >> TM_ADDRESS_BITS || address >> TM_LEAF_ADDRESS_BITS == 0) /* hooks look NULL up, too */
        return NULL;
    uint64_t *entry = &tm_runtime.map[TM_MAP_INDEX(address, 1)];
    uint64_t directory = __atomic_load_n(entry, __ATOMIC_ACQUIRE);
    if (!directory)
        directory = install(entry, tm_arena_chunk(TM_CHUNK_DIRECTORY, (uint32_t)TM_MAP_INDEX(address, 1),
                                                  sizeof(struct tm_chunk), sizeof(uint64_t), 1 << TM_DIRECTORY_BITS));
    if (!directory)
        return NULL;
    entry = (uint64_t *)tm_chunk_data((struct tm_chunk *)(uintptr_t)directory) + TM_MAP_INDEX(address, 0);
    if (!__atomic_load_n(entry, __ATOMIC_ACQUIRE)) {
        uint64_t leaf = install(entry, tm_arena_chunk(TM_CHUNK_LEAF, (uint32_t)(address >> TM_LEAF_ADDRESS_BITS),
                                                      TM_LEAF_DATA_OFFSET, sizeof(uint64_t), 1 << TM_LEAF_SLOT_BITS));
        if (!leaf)
            return NULL;
        __atomic_fetch_add(&tm_runtime.state->leaf_count, 1, __ATOMIC_RELAXED);
    }
    return tm_map_find_slot(address);
}

/* Calls handle(leaf, argument) for every leaf. */
static void each_leaf(void (*handle)(struct tm_chunk *, void *), void *argument)
{
    for (uint32_t high = 0; high < 1 << TM_DIRECTORY_BITS; high++) {
        uint64_t directory = __atomic_load_n(&tm_runtime.map[high], __ATOMIC_ACQUIRE);
        if (!directory)
            continue;
        uint64_t *leaves = tm_chunk_data((struct tm_chunk *)(uintptr_t)directory);
        for (uint32_t low = 0; low < 1 << TM_DIRECTORY_BITS; low++) {
            uint64_t leaf = __atomic_load_n(&leaves[low], __ATOMIC_ACQUIRE);
            if (leaf)
                handle((struct tm_chunk *)(uintptr_t)leaf, argument);
        }
    }
}

static void wipe_leaf(struct tm_chunk *leaf, void *argument)
{
    (void)argument;
    tm_arena_wipe(leaf);
}

void tm_map_wipe(void)
{
    each_leaf(wipe_leaf, NULL);
}

struct visitor {
    void (*visit)(uintptr_t, uint64_t, uint64_t, void *);
    void *argument;
    int pagemap;
};

#define SLOTS_PER_PAGE (TM_PAGE / sizeof(uint64_t))
#define LEAF_PAGES ((1u << TM_LEAF_SLOT_BITS) / SLOTS_PER_PAGE)

static void visit_leaf(struct tm_chunk *leaf, void *argument)
{
    struct visitor *visitor = argument;
    const uint64_t *slots = tm_chunk_data(leaf);
    uintptr_t first = (uintptr_t)leaf->index << TM_LEAF_ADDRESS_BITS;
    uint64_t pages[LEAF_PAGES];
    off_t at = (off_t)((uintptr_t)slots / TM_PAGE * sizeof(pages[0]));

    /* Pages that nobody touched are left alone.  proc(5): bit 63 present, 62 swapped; mincore(2) would miss the latter. */
    bool known = visitor->pagemap >= 0 && !tm_file_in_use() &&
                 pread(visitor->pagemap, pages, sizeof(pages), at) == (ssize_t)sizeof(pages);
    for (uint32_t i = 0; i < 1 << TM_LEAF_SLOT_BITS; i++) {
        if (known && i % SLOTS_PER_PAGE == 0 && !(pages[i / SLOTS_PER_PAGE] >> 62)) {
            i += SLOTS_PER_PAGE - 1;
            continue;
        }
        uint64_t slot = __atomic_load_n(&slots[i], __ATOMIC_ACQUIRE);
        if (!tm_slot_stack(slot) || slot & TM_SLOT_EXTENSION)
            continue;
        uintptr_t address = first + ((uintptr_t)i << TM_GRANULE_BITS);
        visitor->visit(address, slot, tm_slot_size(address, slot), visitor->argument);
    }
}

void tm_map_visit(void (*visit)(uintptr_t, uint64_t, uint64_t, void *), void *argument)
{
    struct visitor visitor = {visit, argument, open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
    each_leaf(visit_leaf, &visitor);
    if (visitor.pagemap >= 0)
        close(visitor.pagemap);
}
