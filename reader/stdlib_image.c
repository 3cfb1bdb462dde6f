/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memmem */
#include "stdlib_image.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK (UINT64_C(1) << 20)

enum {
    RANK_PYTHON,   /* libpython3.11.so.1.0, python3.11 */
    RANK_OTHER,    /* a program that embeds the interpreter */
    RANK_NAMELESS, /* by size, smallest first */
};

static unsigned rank_of(const char *path)
{
    const char *name = strrchr(path, '/');
    return strstr(name ? name : path, "python") ? RANK_PYTHON : RANK_OTHER;
}

static int compare_images(const void *left, const void *right)
{
    const struct tm_stdlib_image *a = left, *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    uint64_t a_size = a->data[0].end - a->data[0].start, b_size = b->data[0].end - b->data[0].start;
    if (a->rank == RANK_NAMELESS && a_size != b_size)
        return a_size < b_size ? -1 : 1;
    return (a->start > b->start) - (a->start < b->start);
}

struct tm_error *tm_stdlib_images(struct tm_stdlib_memory *memory, struct tm_stdlib_image **ret, size_t *count)
{
    const struct tm_target *target = memory->target;
    struct tm_stdlib_image *images = calloc(target->region_count + 1, sizeof(*images));
    if (!images)
        return tm_error_no_memory();
    size_t done = 0, current = SIZE_MAX; /* the image whose regions are being collected */
    for (size_t i = 0; i < target->region_count; i++) {
        const struct tm_region *region = &target->regions[i];
        bool file = region->path && region->path[0] == '/' && strncmp(region->path, "/dev/", 5) != 0;
        bool writable = region->flags ? region->flags & TM_REGION_WRITE : true; /* a face may not know */
        if (file && (current == SIZE_MAX || strcmp(images[current].path, region->path) != 0)) {
            current = done++;
            images[current] =
                (struct tm_stdlib_image){.path = region->path, .start = region->start, .rank = rank_of(region->path)};
        }
        struct tm_stdlib_image *image = current == SIZE_MAX ? NULL : &images[current];
        if (!writable || !region->saved)
            continue;
        struct tm_stdlib_range *last = image && image->data_count ? &image->data[image->data_count - 1] : NULL;
        if (last && last->end == region->start && (file || !region->path)) {
            last->end = region->start + region->saved;
        } else if (file && image->data_count < TM_STDLIB_IMAGE_RANGES) {
            image->data[image->data_count++] = (struct tm_stdlib_range){region->start, region->start + region->saved};
        } else {
            struct tm_stdlib_image *nameless = &images[done++];
            *nameless = (struct tm_stdlib_image){.start = region->start, .data_count = 1, .rank = RANK_NAMELESS};
            nameless->data[0] = (struct tm_stdlib_range){region->start, region->start + region->saved};
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < done; i++) {
        if (images[i].data_count)
            images[kept++] = images[i];
    }
    qsort(images, kept, sizeof(*images), compare_images);
    *ret = images;
    *count = kept;
    return NULL;
}

/* ---- version ------------------------------------------------------------------------------------------------------ */

static const char *digits(const char *at, const char *end, unsigned *ret)
{
    const char *first = at;
    *ret = 0;
    while (at < end && isdigit((unsigned char)*at) && at - first < 3)
        *ret = *ret * 10 + (unsigned)(*at++ - '0');
    return at > first ? at : NULL;
}

/* "3.8.18 (default, Nov 20 2026, 10:00:00) \n[GCC 12.2.0]", "3.15.0b1+ free-threading build (main, ...": Python/getversion.c */
static bool parse_version(const char *at, const char *end, char python[64], uint32_t *version, bool *free_threaded)
{
    unsigned minor, micro, serial = 0, level = 0xf;
    const char *start = at;
    if (end - at < 16 || memcmp(at, "3.", 2) != 0)
        return false;
    at = digits(at + 2, end, &minor);
    if (!at || at >= end || *at++ != '.')
        return false;
    at = digits(at, end, &micro);
    if (!at || at >= end)
        return false;
    if (*at == 'a' || *at == 'b' || *at == 'r') {
        level = *at == 'a' ? 0xa : *at == 'b' ? 0xb : 0xc;
        at += *at == 'r' ? 2 : 1;
        at = at < end ? digits(at, end, &serial) : NULL;
        if (!at)
            return false;
    }
    const char *stop = at;
    if (at < end && *at == '+')
        at++;
    size_t left = (size_t)(end - at);
    bool plain = left > 3 && at[0] == ' ' && at[1] == '(' && isalpha((unsigned char)at[2]);
    bool threaded = left > 48 && at[0] == ' ' && memmem(at, 48, "free-threading build (", 22);
    /* Not a version that merely stands in some text: the compiler is named behind it. */
    if ((!plain && !threaded) || !memmem(at, left < 200 ? left : 200, "[", 1) || minor < 8 || minor > 99)
        return false;
    snprintf(python, 64, "%.*s", (int)(stop - start < 63 ? stop - start : 63), start);
    *version = UINT32_C(3) << 24 | minor << 16 | (micro & 0xff) << 8 | level << 4 | (serial & 0xf);
    *free_threaded = threaded;
    return true;
}

bool tm_stdlib_image_version(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image, char python[64],
                             uint32_t *version, bool *free_threaded)
{
    struct tm_bytes bytes = {0};
    bool found = false;
    for (unsigned i = 0; i < image->data_count && !found; i++) {
        uint64_t at = image->data[i].start;
        while (at < image->data[i].end && !found) {
            uint64_t size = image->data[i].end - at < CHUNK ? image->data[i].end - at : CHUNK;
            tm_bytes_load(&bytes, memory->target, at, size);
            const char *text = (const char *)bytes.data, *end = text + bytes.size, *hit = text;
            while (bytes.size && !found && (hit = memmem(hit, (size_t)(end - hit), "3.", 2))) {
                if (hit == text || !isalnum((unsigned char)hit[-1]))
                    found = parse_version(hit, end, python, version, free_threaded);
                hit++;
            }
            at += size > 256 && at + size < image->data[i].end ? size - 256 : size;
        }
    }
    tm_bytes_unload(&bytes);
    return found;
}
