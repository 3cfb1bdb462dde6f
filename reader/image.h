/* SPDX-License-Identifier: MIT */
/*
 * A target whose memory lies in pieces of one file: core.c and table_file.c say which piece is where.
 *
 * The file is mapped.  One that is compressed goes through a temporary file first (unpack.c), because its memory is read
 * here and there, and is larger than what one wants to have in RAM.
 */
#ifndef TM_IMAGE_H
#define TM_IMAGE_H

#include "target.h"

struct tm_image {
    struct tm_target target; /* each region's bytes are at image + region.offset */
    uint8_t *image;
    uint64_t size;
    size_t region_room;
};

/* Opens and maps a regular file; the target has a name, and no regions yet. */
struct tm_error *tm_image_open(const struct tm_face *face, const char *path, struct tm_image **ret);

/* After the last region: sorts them.  Refuses a file that claims far more memory than it has bytes: a search through it
 * would not end. */
struct tm_error *tm_image_finish(struct tm_image *image, const char *path);

/* "PATH is not a core file; because" */
struct tm_error *tm_image_refuse(const char *path, const char *because);

/* ---- unpack.c ------------------------------------------------------------------------------------------------------- */

/* "zstd", if the file begins as a compressed one does, otherwise NULL. */
const char *tm_unpack_format(const void *bytes, size_t size);
/* Descriptor of an unnamed file that holds the unpacked bytes; holes where they are zeros.  *truncated: the compressed
 * file ends too early; what it had is there. */
struct tm_error *tm_unpack(const struct tm_face *face, int compressed, const char *path, int *ret, bool *truncated);

/* ---- table_file.c --------------------------------------------------------------------------------------------------- */

/* Whether it is a file that PYTHONTM_FILE, a limit or tm watch made, sound or not. */
bool tm_table_file_recognise(const struct tm_image *image);
struct tm_error *tm_table_file_read(struct tm_image *image, const char *path);

#endif
