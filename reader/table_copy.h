/* SPDX-License-Identifier: MIT */
/* Saves the table of a process that runs as a table file (table_file.c reads it): the table alone, nothing of the heap. */
#ifndef TM_TABLE_COPY_H
#define TM_TABLE_COPY_H

#include "target.h"

/* *written: bytes in the file, holes not counted.  *partial: the process ended meanwhile; the file has all but some of
 * the map of blocks. */
struct tm_error *tm_table_copy(struct tm_target *target, const char *path, uint64_t *written, bool *partial);

#endif
