/* SPDX-License-Identifier: MIT */
/* Core files with damage anywhere, and files that never were cores.  What opens must read: every region, byte by byte. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "reader/target.h"

static void read_all(struct tm_target *target)
{
    uint8_t buffer[256];
    for (size_t i = 0; i < target->region_count; i++) {
        const struct tm_region *region = &target->regions[i];
        if (region->end <= region->start || region->saved > region->end - region->start)
            abort();
        if (i && target->regions[i - 1].end > region->start)
            abort();
        /* the border, where reads are cut */
        uint64_t border = region->start + region->saved,
                 from = border - 100 < region->start ? region->start : border - 100;
        struct tm_fault fault = tm_target_read(target, from, buffer, sizeof(buffer));
        if (fault.outcome == TM_READ_OK && fault.address != from + sizeof(buffer))
            abort();
        if (region->path && strlen(region->path) > 1 << 20)
            abort();
        const uint8_t *view = tm_target_view(target, region->start, region->saved);
        uint64_t sum = 0;
        for (uint64_t at = 0; view && at < region->saved; at += 512)
            sum += view[at];
        if (sum == 1)
            buffer[0] = 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static int file = -1;
    char path[64];
    if (file < 0)
        file = memfd_create("core", MFD_CLOEXEC);
    if (ftruncate(file, (off_t)size) || pwrite(file, bytes, size, 0) != (ssize_t)size)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    struct tm_target *target;
    struct tm_error *error = tm_target_open_core(NULL, path, &target);
    if (!error) {
        read_all(target);
        tm_target_destroy(target);
    }
    tm_error_destroy(error);
    return 0;
}
