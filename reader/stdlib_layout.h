/* SPDX-License-Identifier: MIT */
/*
 * How CPython's own tracemalloc lies in memory, version by version, as data.
 *
 * The standard library promises nothing about these structs, and they moved between 3.8 and 3.15.  They are rows of one
 * table here (tm_stdlib_families); no other file knows a version.  Offsets are those of 64-bit builds.
 *
 *   slot in the writable data of the image with the interpreter
 *     └─> _Py_hashtable_t "traces" ──buckets──> entry ──> entry        {block address -> trace_t}
 *                                                 └─> trace_t {size, traceback_t *}
 *                                                               └─> traceback_t {nframe, frame_t[]}, newest frame first
 *                                                                     └─> frame_t {file name, line}, packed
 *
 * Modules/_tracemalloc.c (3.8-3.12), Python/tracemalloc.c (3.13+), Modules/hashtable.h (3.8), Include/internal/
 * pycore_hashtable.h (3.9+), pycore_tracemalloc.h (3.12+).
 */
#ifndef TM_STDLIB_LAYOUT_H
#define TM_STDLIB_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TM_STDLIB_NONE 0xff /* no such member */

/* _Py_hashtable_t, _Py_hashtable_entry_t and the trace that an entry leads to */
struct tm_stdlib_table_layout {
    uint8_t size; /* of _Py_hashtable_t */
    uint8_t nentries;
    uint8_t nbuckets;
    uint8_t buckets;
    uint8_t get_entry;     /* functions */
    uint8_t hash;          /* ... */
    uint8_t compare;       /* ... */
    uint8_t key_destroy;   /* ...: always NULL in the tables that we look for */
    uint8_t value_destroy; /* ...: never NULL there */
    uint8_t allocate;      /* ...: a pair, {malloc, free} */
    uint8_t key_size;      /* numbers */
    uint8_t data_size;     /* ... */

    uint8_t entry_hash; /* `next` is at 0 */
    uint8_t entry_key;
    uint8_t entry_value;     /* pointer; TM_STDLIB_NONE: the value itself follows the key */
    uint8_t entry_size;      /* without a value that follows */
    bool domain_in_key;      /* a key of 12 bytes is {address, domain}, packed */
    bool rehash_swaps_first; /* the table points to the new buckets before the entries are moved; otherwise after */
    uint8_t nframe;          /* in traceback_t */
    uint8_t nframe_bytes;    /* width of nframe */
    uint8_t total_nframe;    /* u16, or TM_STDLIB_NONE */
    uint8_t first_frame;     /* in traceback_t */
};

/* frame_t: packed {u64 file name, u32 line} in every version */
#define TM_STDLIB_FRAME 12
/* trace_t: {u64 size, u64 traceback} in every version */
#define TM_STDLIB_TRACE 16

/* Where the other variables lie, relative to the slot that points to `traces` */
struct tm_stdlib_state_layout {
    bool fixed;         /* members of _PyRuntime.tracemalloc.  Otherwise static variables, in an order that the linker
                             chose: the offsets are where they were seen, to be tried first */
    int16_t traced[2];  /* traced_memory; the peak follows it */
    int16_t domains;    /* the table of tables */
    int16_t config;     /* {i32 initialized, i32 tracing, i32 max_nframe}; 0: elsewhere */
    int16_t allocators; /* three of {ctx, malloc, calloc, realloc, free}; 0: elsewhere */
    int16_t lock_byte;  /* PyMutex tables_lock, bit 0: held; 0: another kind of lock */
};

/* PyUnicodeObject: head, length, hash, state, and where the characters are */
struct tm_stdlib_text_layout {
    uint8_t type; /* ob_type */
    uint8_t length;
    uint8_t state; /* u32 of bit fields */
    uint8_t kind_bit;
    uint8_t compact_bit;
    uint8_t ascii_bit;
    uint8_t ascii_data;   /* compact ASCII */
    uint8_t compact_data; /* other compact strings */
    uint8_t pointer;      /* of the characters, if it is not compact (a subclass of str, or PyUnicode_FromUnicode) */
    uint8_t type_flags;   /* PyTypeObject.tp_flags; bit 28: a str or a subclass of it, in every version */
};

struct tm_stdlib_family {
    const char *name;
    uint16_t first, last; /* PY_VERSION_HEX >> 16 */
    bool free_threaded;
    const struct tm_stdlib_table_layout *table;
    const struct tm_stdlib_state_layout *state;
    const struct tm_stdlib_text_layout *text;
};

extern const struct tm_stdlib_family tm_stdlib_families[];
extern const size_t tm_stdlib_family_count;

/* Newest version in the table above, as PY_VERSION_HEX >> 16 */
uint16_t tm_stdlib_newest(void);

#endif
