/* SPDX-License-Identifier: MIT */
/*
 * Blocks of a target's memory, kept for the length of a command.  A read through a debugger costs a microsecond however
 * short it is, and a walk along a chain makes millions of short ones.
 */
#ifndef TM_CACHE_H
#define TM_CACHE_H

#include "target.h"

/* *cache is created when first needed. */
struct tm_fault tm_cache_read(struct tm_cache **cache, struct tm_target *target, uint64_t address, void *buffer,
                              uint64_t size);
void tm_cache_destroy(struct tm_cache *cache);

#endif
