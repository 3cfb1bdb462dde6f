/* SPDX-License-Identifier: MIT */
/*
 * The root record, found without symbols: 16 bytes of magic at the start of a page of writable memory, and behind it the
 * address at which it was found.  Copies of the magic lie about (in file buffers, in this reader's own memory when it
 * reads itself); copies with the right address do not.
 *
 * A core that was cut may lack the root, which lies in the extension's data, near the end, and have all of the table.  The
 * chunk with the state names itself as well: then it stands in, and the answer is labelled.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "layout_decoder.h"

#define PIECE (UINT64_C(1) << 20)

static const uint8_t magic[16] = TM_ROOT_MAGIC;

struct hunt {
    struct tm_target *target;
    struct tm_root root;
    uint64_t address;
    bool found;
    uint64_t state;           /* address of a chunk with the state of a table; 0: none was met */
    struct tm_error *refusal; /* why a root that claims its own address was not accepted */
};

static struct tm_error *refuse(const struct tm_root *root, uint64_t address)
{
    if (root->byte_order != TM_BYTE_ORDER)
        return tm_error(TM_ERROR_VERSION, "the trace table at 0x%" PRIx64 " has another byte order", address);
    if (root->layout_version > TM_LAYOUT_VERSION) {
        struct tm_error *error =
            tm_error(TM_ERROR_VERSION, "the trace table has layout version %u", (unsigned)root->layout_version);
        error = tm_error_because(error, "the program ran under a newer tm (%.*s) than this one, which reads up to %d",
                                 (int)strnlen(root->runtime_version, sizeof(root->runtime_version)),
                                 root->runtime_version, TM_LAYOUT_VERSION);
        return tm_error_try(error, "the same with the tm that ran the program");
    }
    bool sane = root->layout_version >= 1 && root->root_size >= sizeof(struct tm_root) &&
                root->state_size >= sizeof(struct tm_state) && root->chunk_size >= sizeof(struct tm_chunk) &&
                root->table_size == sizeof(struct tm_table) && root->shard_size == sizeof(struct tm_shard) &&
                root->granule_bits == TM_GRANULE_BITS && root->leaf_slot_bits == TM_LEAF_SLOT_BITS &&
                root->directory_bits == TM_DIRECTORY_BITS;
    if (sane)
        return NULL;
    return tm_error_because(
        tm_error(TM_ERROR_DAMAGED, "the root of the trace table at 0x%" PRIx64 " is damaged", address),
        "its sizes make no sense");
}

static void consider(struct hunt *hunt, uint64_t address)
{
    struct tm_root root;
    struct tm_fault fault = tm_target_read(hunt->target, address, &root, sizeof(root));
    if (fault.outcome != TM_READ_OK)
        return;
    bool swapped = root.byte_order == __builtin_bswap32(TM_BYTE_ORDER);
    if (root.self != (swapped ? __builtin_bswap64(address) : address))
        return; /* a copy */
    struct tm_error *refusal = refuse(&root, address);
    if (refusal) {
        tm_error_destroy(hunt->refusal);
        hunt->refusal = refusal;
        return;
    }
    /* Two runtimes in one process: the one that traced counts. */
    if (!hunt->found || (!hunt->root.state && root.state)) {
        hunt->root = root;
        hunt->address = address;
        hunt->found = true;
    }
}

static void consider_state(struct hunt *hunt, uint64_t address)
{
    struct tm_chunk head;
    if (hunt->state || tm_target_read(hunt->target, address, &head, sizeof(head)).outcome != TM_READ_OK)
        return;
    if (head.kind == TM_CHUNK_STATE && head.self == address && head.element_size == sizeof(struct tm_state) &&
        head.data_offset == sizeof(head) && head.capacity == 1)
        hunt->state = address;
}

/* What can be said of a root that is lost. */
static void stand_in(struct hunt *hunt)
{
    hunt->root = (struct tm_root){
        .byte_order = TM_BYTE_ORDER,
        .layout_version = TM_LAYOUT_VERSION,
        .state = hunt->state,
        .pid = (uint32_t)hunt->target->pid,
    };
    hunt->address = 0;
    hunt->found = true;
}

static void search_pages(struct hunt *hunt, const uint8_t *bytes, uint64_t address, uint64_t size)
{
    static const uint64_t chunk_magic = TM_CHUNK_MAGIC;
    uint64_t skip = -address & (TM_ROOT_ALIGN - 1);
    for (uint64_t at = skip; at < size && size - at >= sizeof(magic); at += TM_ROOT_ALIGN) {
        if (!memcmp(bytes + at, magic, sizeof(magic)))
            consider(hunt, address + at);
        else if (!memcmp(bytes + at, &chunk_magic, sizeof(chunk_magic)))
            consider_state(hunt, address + at);
    }
}

static struct tm_error *search_region(struct hunt *hunt, const struct tm_region *region, uint8_t *buffer)
{
    const uint8_t *view = tm_target_view(hunt->target, region->start, region->saved);
    if (view) {
        search_pages(hunt, view, region->start, region->saved);
        return NULL;
    }
    /* PIECE is a multiple of TM_ROOT_ALIGN, so that no magic lies across two pieces. */
    uint64_t at = 0;
    while (at < region->saved) {
        if (tm_target_interrupted(hunt->target))
            return tm_error(TM_ERROR_INTERRUPTED, "interrupted");
        uint64_t size = region->saved - at < PIECE ? region->saved - at : PIECE;
        struct tm_fault fault = tm_target_read(hunt->target, region->start + at, buffer, size);
        uint64_t got = fault.outcome == TM_READ_OK ? size : fault.address - (region->start + at);
        search_pages(hunt, buffer, region->start + at, got);
        if (fault.outcome == TM_READ_INTERRUPTED)
            return tm_error(TM_ERROR_INTERRUPTED, "interrupted");
        at += size;
    }
    return NULL;
}

/* The extension's own file, whose writable data holds the root. */
static bool is_extension(const struct tm_region *region)
{
    return region->path && strstr(region->path, "/_tm.");
}

/* The runtime was loaded, but the page where its root would be is not there: that is worth more than "not found". */
static struct tm_error *missing_root(struct tm_target *target)
{
    for (size_t i = 0; i < target->region_count; i++) {
        const struct tm_region *region = &target->regions[i];
        if (is_extension(region) && (region->flags & TM_REGION_WRITE) && region->saved < region->end - region->start)
            return tm_fault_error(target, (struct tm_fault){region->missing, region->start + region->saved},
                                  "the root of the trace table");
    }
    return NULL;
}

struct tm_error *layout_find_root(struct tm_target *target, struct tm_root *ret, uint64_t *address, bool *found)
{
    struct hunt hunt = {.target = target};
    uint8_t *buffer = malloc(PIECE);
    if (!buffer)
        return tm_error_no_memory();
    struct tm_error *error = NULL;
    for (int pass = 0; pass < 2 && !hunt.found && !error; pass++) {
        for (size_t i = 0; i < target->region_count && !error; i++) {
            const struct tm_region *region = &target->regions[i];
            /* Flags of 0: the face does not know. */
            bool writable = !region->flags || (region->flags & TM_REGION_WRITE);
            if (writable && is_extension(region) == (pass == 0))
                error = search_region(&hunt, region, buffer);
        }
    }
    free(buffer);
    if (!error && !hunt.found && hunt.state && !hunt.refusal)
        stand_in(&hunt);
    if (!error && hunt.found) {
        *ret = hunt.root;
        *address = hunt.address;
    }
    *found = !error && hunt.found;
    if (*found || error)
        tm_error_destroy(hunt.refusal);
    else
        error = hunt.refusal ? hunt.refusal : missing_root(target);
    return error;
}
