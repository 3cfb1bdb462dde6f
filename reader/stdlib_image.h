/* SPDX-License-Identifier: MIT */
/* The files that are mapped into a target, their writable data, and what they tell of the interpreter. */
#ifndef TM_STDLIB_IMAGE_H
#define TM_STDLIB_IMAGE_H

#include "stdlib_memory.h"

#define TM_STDLIB_IMAGE_RANGES 6

struct tm_stdlib_range {
    uint64_t start;
    uint64_t end;
};

struct tm_stdlib_image {
    const char *path;                                    /* NULL: regions of no known file */
    uint64_t start;                                      /* of its lowest region */
    struct tm_stdlib_range data[TM_STDLIB_IMAGE_RANGES]; /* writable: .data and, right behind it, .bss */
    unsigned data_count;
    unsigned rank; /* smaller is looked at earlier */
};

/* Images with writable data, most promising first; after them, as a last resort, one for each other writable region.
 * To be freed. */
struct tm_error *tm_stdlib_images(struct tm_stdlib_memory *memory, struct tm_stdlib_image **ret, size_t *count);

/* The interpreter's version: Py_GetVersion() keeps its text in static memory, and site asks for it at every start.
 * False: it is not there. */
bool tm_stdlib_image_version(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image, char python[64],
                             uint32_t *version, bool *free_threaded);

#endif
