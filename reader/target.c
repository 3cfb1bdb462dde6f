/* SPDX-License-Identifier: MIT */
/* What all targets have in common: regions, reads that cross them, faults in words. */
#include "target.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache.h"

void tm_target_destroy(struct tm_target *target)
{
    if (!target)
        return;
    free(target->regions);
    free(target->name);
    free(target->program);
    free(target->source_root);
    tm_cache_destroy(target->cache);
    target->ops->destroy(target);
}

/* ---- regions ------------------------------------------------------------------------------------------------------ */

struct tm_error *tm_regions_add(struct tm_target *target, size_t *room, const struct tm_region *region)
{
    if (region->end <= region->start)
        return NULL;
    if (target->region_count == *room) {
        size_t more = *room ? *room * 2 : 64;
        struct tm_region *regions = reallocarray(target->regions, more, sizeof(*regions));
        if (!regions)
            return tm_error_no_memory();
        target->regions = regions;
        *room = more;
    }
    target->regions[target->region_count++] = *region;
    return NULL;
}

static int compare_regions(const void *left, const void *right)
{
    const struct tm_region *a = left, *b = right;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return (a->end > b->end) - (a->end < b->end);
}

void tm_regions_finish(struct tm_target *target)
{
    struct tm_region *regions = target->regions;
    size_t count = target->region_count;
    /* The kernel writes them in order; qsort's copy of 65,000 regions would be the dearest part of opening a core. */
    for (size_t i = 1; i < count; i++) {
        if (compare_regions(&regions[i - 1], &regions[i]) > 0) {
            qsort(regions, count, sizeof(*regions), compare_regions);
            break;
        }
    }
    /* Only hostile or broken lists overlap: cut the earlier one, so that a binary search has one answer. */
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct tm_region region = regions[i];
        if (i + 1 < count && region.end > regions[i + 1].start)
            region.end = regions[i + 1].start;
        if (region.saved > region.end - region.start)
            region.saved = region.end - region.start;
        if (region.end > region.start)
            regions[kept++] = region;
    }
    target->region_count = kept;
}

const struct tm_region *tm_target_region(const struct tm_target *target, uint64_t address)
{
    size_t low = 0, high = target->region_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (target->regions[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < target->region_count && target->regions[low].start <= address)
        return &target->regions[low];
    return NULL;
}

uint64_t tm_target_available(struct tm_target *target, uint64_t address, uint64_t size, struct tm_fault *ret)
{
    struct tm_fault fault = {TM_READ_OK, address};
    uint64_t available = 0;
    while (available < size) {
        fault.address = address + available;
        const struct tm_region *region = fault.address < address ? NULL : tm_target_region(target, fault.address);
        if (!region) {
            fault.outcome = TM_READ_UNMAPPED;
            break;
        }
        uint64_t offset = fault.address - region->start;
        if (offset >= region->saved) {
            fault.outcome = region->missing;
            break;
        }
        uint64_t piece = region->saved - offset;
        available += piece < size - available ? piece : size - available;
    }
    if (ret)
        *ret = fault;
    return available;
}

/* ---- reads -------------------------------------------------------------------------------------------------------- */

struct tm_fault tm_target_read(struct tm_target *target, uint64_t address, void *buffer, uint64_t size)
{
    return target->ops->read(target, address, buffer, size);
}

const void *tm_target_view(struct tm_target *target, uint64_t address, uint64_t size)
{
    return target->ops->view ? target->ops->view(target, address, size) : NULL;
}

struct tm_fault tm_target_peek(struct tm_target *target, uint64_t address, void *buffer, uint64_t size)
{
    const void *bytes = tm_target_view(target, address, size);
    if (bytes) {
        memcpy(buffer, bytes, size);
        return (struct tm_fault){TM_READ_OK, address + size};
    }
    if (target->ops->view) /* a read costs no more than a copy there */
        return tm_target_read(target, address, buffer, size);
    return tm_cache_read(&target->cache, target, address, buffer, size);
}

/* Readers ask for every block of memory; a face, which may have to ask a debugger in turn, is asked 200 times a second. */
bool tm_target_interrupted(struct tm_target *target)
{
    const struct tm_face *face = target->face;
    struct timespec now;
    if (!face || !face->interrupted)
        return false;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    int64_t milliseconds = now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
    if (milliseconds - target->asked < 5)
        return false;
    target->asked = milliseconds;
    return face->interrupted(face->data);
}

struct tm_fault tm_bytes_load(struct tm_bytes *bytes, struct tm_target *target, uint64_t address, uint64_t size)
{
    struct tm_fault fault;
    bytes->data = NULL;
    bytes->size = 0;
    uint64_t available = tm_target_available(target, address, size, &fault);
    if (!available)
        return fault;
    bytes->data = tm_target_view(target, address, available);
    if (!bytes->data) {
        if (bytes->room < available) {
            free(bytes->copy);
            bytes->room = 0;
            bytes->copy = malloc(available);
            if (!bytes->copy)
                return (struct tm_fault){TM_READ_DENIED, address};
            bytes->room = available;
        }
        struct tm_fault failed = tm_target_read(target, address, bytes->copy, available);
        bytes->data = bytes->copy;
        if (failed.outcome != TM_READ_OK) {
            fault = failed;
            available = failed.address - address;
        }
    }
    bytes->size = available;
    return fault;
}

void tm_bytes_unload(struct tm_bytes *bytes)
{
    free(bytes->copy);
    *bytes = (struct tm_bytes){0};
}

/* ---- faults in words ------------------------------------------------------------------------------------------------ */

const char *tm_outcome_text(enum tm_outcome outcome)
{
    switch (outcome) {
    case TM_READ_OK:
        return "can be read";
    case TM_READ_UNMAPPED:
        return "is not mapped";
    case TM_READ_NOT_SAVED:
        return "was not saved in the core";
    case TM_READ_TRUNCATED:
        return "lies behind the end of the truncated core file";
    case TM_READ_DENIED:
        return "cannot be read";
    case TM_READ_INTERRUPTED:
        return "was not read: interrupted";
    }
    return "cannot be read";
}

struct tm_error *tm_fault_error(const struct tm_target *target, struct tm_fault fault, const char *what)
{
    if (fault.outcome == TM_READ_INTERRUPTED)
        return tm_error(TM_ERROR_INTERRUPTED, "interrupted");
    struct tm_error *error = tm_error(TM_ERROR_MEMORY, "%s at 0x%" PRIx64 " %s (%s)", what, fault.address,
                                      tm_outcome_text(fault.outcome), target->name);
    switch (fault.outcome) {
    case TM_READ_NOT_SAVED:
        return tm_error_try(tm_error_because(error, "a filter kept it out of the core (coredump_filter, see core(5))"),
                            "echo 0x33 > /proc/PID/coredump_filter, before the program dies");
    case TM_READ_TRUNCATED:
        return tm_error_try(
            tm_error_because(error,
                             "a full disk, or a limit on the size of cores (ulimit -c; systemd's ProcessSizeMax) "
                             "ended the file too early"),
            "ulimit -c unlimited, df for a full disk, and coredump.conf(5)");
    case TM_READ_DENIED:
        return tm_error_because(error, "the process is gone or may not be read");
    default:
        return tm_error_because(error, "the table is damaged");
    }
}
