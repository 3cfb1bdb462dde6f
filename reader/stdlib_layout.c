/* SPDX-License-Identifier: MIT */
#include "stdlib_layout.h"

/* 3.8: Modules/hashtable.h.  Traces lie in the entries; the key has 8 bytes, or 12 as soon as a block of another domain
 * was tracked (the whole table is then rebuilt). */
static const struct tm_stdlib_table_layout table_3_8 = {
    .size = 72,
    .nbuckets = 0,
    .nentries = 8,
    .buckets = 16,
    .key_size = 24,
    .data_size = 32,
    .hash = 40,
    .compare = 48,
    .allocate = 56,
    .get_entry = TM_STDLIB_NONE,
    .key_destroy = TM_STDLIB_NONE,
    .value_destroy = TM_STDLIB_NONE,
    .entry_hash = 8,
    .entry_key = 16,
    .entry_value = TM_STDLIB_NONE,
    .entry_size = 16,
    .domain_in_key = true,
    .rehash_swaps_first = true,
    .nframe = 8,
    .nframe_bytes = 4,
    .total_nframe = TM_STDLIB_NONE, /* came with 3.9 (bpo-37961) */
    .first_frame = 12,
};

/* 3.9 on: Include/internal/pycore_hashtable.h (bpo-40602 and its neighbours) */
static const struct tm_stdlib_table_layout table_3_9 = {
    .size = 80,
    .nentries = 0,
    .nbuckets = 8,
    .buckets = 16,
    .get_entry = 24,
    .hash = 32,
    .compare = 40,
    .key_destroy = 48,
    .value_destroy = 56,
    .allocate = 64,
    .key_size = TM_STDLIB_NONE,
    .data_size = TM_STDLIB_NONE,
    .entry_hash = 8,
    .entry_key = 16,
    .entry_value = 24,
    .entry_size = 32,
    .nframe = 8,
    .nframe_bytes = 2,
    .total_nframe = 10,
    .first_frame = 12,
};

/* Static variables of Modules/_tracemalloc.c.  40 in builds without LTO, 48 in Debian's 3.11. */
static const struct tm_stdlib_state_layout state_static = {.traced = {40, 48}};

/* struct _tracemalloc_runtime_state, Include/internal/pycore_tracemalloc.h: traces is at 184 */
static const struct tm_stdlib_state_layout state_3_12 = {
    .fixed = true,
    .traced = {144 - 184, 144 - 184},
    .domains = 192 - 184,
    .config = 0 - 184,
    .allocators = 16 - 184,
};

/* 3.14: tables_lock became a PyMutex */
static const struct tm_stdlib_state_layout state_3_14 = {
    .fixed = true,
    .traced = {144 - 184, 144 - 184},
    .domains = 192 - 184,
    .config = 0 - 184,
    .allocators = 16 - 184,
    .lock_byte = 136 - 184,
};

/* Include/cpython/unicodeobject.h; up to 3.11 with wstr, whose removal (PEP 623) moved the characters */
static const struct tm_stdlib_text_layout text_3_8 = {
    .type = 8,
    .length = 16,
    .state = 32,
    .kind_bit = 2,
    .compact_bit = 5,
    .ascii_bit = 6,
    .ascii_data = 48,
    .compact_data = 72,
    .pointer = 72,
    .type_flags = 168,
};
static const struct tm_stdlib_text_layout text_3_12 = {
    .type = 8,
    .length = 16,
    .state = 32,
    .kind_bit = 2,
    .compact_bit = 5,
    .ascii_bit = 6,
    .ascii_data = 40,
    .compact_data = 56,
    .pointer = 56,
    .type_flags = 168,
};
/* Free-threaded builds: an object's head has 32 bytes.  From 3.14 on `interned` is a whole byte. */
static const struct tm_stdlib_text_layout text_3_13t = {
    .type = 24,
    .length = 32,
    .state = 48,
    .kind_bit = 2,
    .compact_bit = 5,
    .ascii_bit = 6,
    .ascii_data = 56,
    .compact_data = 72,
    .pointer = 72,
    .type_flags = 184,
};
static const struct tm_stdlib_text_layout text_3_14t = {
    .type = 24,
    .length = 32,
    .state = 48,
    .kind_bit = 8,
    .compact_bit = 11,
    .ascii_bit = 12,
    .ascii_data = 56,
    .compact_data = 72,
    .pointer = 72,
    .type_flags = 184,
};

/* 3.15 stores file names as char * (gh-155725), but its earlier betas did not: what a pointer leads to tells, see
 * stdlib_text.c, so that needs no row of its own. */
const struct tm_stdlib_family tm_stdlib_families[] = {
    {"3.8", 0x308, 0x308, false, &table_3_8, &state_static, &text_3_8},
    {"3.9-3.11", 0x309, 0x30b, false, &table_3_9, &state_static, &text_3_8},
    {"3.12-3.13", 0x30c, 0x30d, false, &table_3_9, &state_3_12, &text_3_12},
    {"3.14-3.15", 0x30e, 0x30f, false, &table_3_9, &state_3_14, &text_3_12},
    {"3.13t", 0x30d, 0x30d, true, &table_3_9, &state_3_12, &text_3_13t},
    {"3.14t-3.15t", 0x30e, 0x30f, true, &table_3_9, &state_3_14, &text_3_14t},
};
const size_t tm_stdlib_family_count = sizeof(tm_stdlib_families) / sizeof(tm_stdlib_families[0]);

uint16_t tm_stdlib_newest(void)
{
    uint16_t newest = 0;
    for (size_t i = 0; i < tm_stdlib_family_count; i++)
        if (tm_stdlib_families[i].last > newest)
            newest = tm_stdlib_families[i].last;
    return newest;
}
