/* SPDX-License-Identifier: MIT */
/* A table that was caught while its traces were moved into a larger or smaller array of buckets. */
#ifndef TM_STDLIB_REHASH_H
#define TM_STDLIB_REHASH_H

#include "stdlib_table.h"

/* The two arrays of such a table, each with the traces that are in it: pair[0] those that have not been moved yet,
 * pair[1] those that have.  *found: together they have more of them than the table alone; perhaps not all. */
struct tm_error *tm_stdlib_rehash(struct tm_stdlib_memory *memory, const struct tm_stdlib_table *table,
                                  struct tm_stdlib_table pair[2], bool *found);

#endif
