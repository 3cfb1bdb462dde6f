/* SPDX-License-Identifier: MIT */
/*
 * A target made of nothing but tracemalloc's tables, as any version of CPython would have them, and free to be damaged.
 * It also stands for versions that cannot be run here (free-threaded builds, the newest ones).
 */
#ifndef TM_FAKE_TABLES_H
#define TM_FAKE_TABLES_H

#include "reader/model.h"
#include "reader/stdlib_layout.h"

#define FAKE_TEXT UINT64_C(0x7f0000000000) /* code: mapped, not saved */
#define FAKE_DATA UINT64_C(0x7f0000200000) /* .data and .bss of the interpreter */
#define FAKE_HEAP UINT64_C(0x7f0001000000)

#define FAKE_TEXT_SIZE (UINT64_C(1) << 20)
#define FAKE_DATA_SIZE (UINT64_C(1) << 14)
#define FAKE_HEAP_SIZE (UINT64_C(1) << 17)

#define FAKE_DOMAIN 389047

struct fake_options {
    const struct tm_stdlib_family *family;
    const char *version; /* as Py_GetVersion() has it; NULL: none is there */
    bool chars;          /* file names are char *, as in 3.15 */
    bool wide_keys;      /* 3.8: keys with a domain */
    bool foreign;        /* blocks of FAKE_DOMAIN */
    bool live;
    unsigned traces;
    unsigned nframe;
    uint64_t nbuckets; /* 0: enough */
};

struct fake {
    struct tm_target target;
    struct fake_options options;
    struct tm_region regions[3];
    uint8_t *data;
    uint8_t *heap;
    uint64_t used; /* bytes of the heap */

    /* What is where, for tests to damage it */
    uint64_t slot;
    uint64_t table;
    uint64_t buckets;
    uint64_t nbuckets;
    uint64_t traced_at;
    uint64_t first_entry;
    uint64_t last_entry;
    uint64_t first_traceback;
    uint64_t first_name;

    /* What must come out */
    uint64_t bytes;
    uint64_t blocks;
};

/* The size of block i, and its address: objects lie 16 bytes apart at least. */
static inline uint64_t fake_size(unsigned i)
{
    return 17 + i % 100;
}
static inline uint64_t fake_address(unsigned i)
{
    return UINT64_C(0x7e0000000000) + (uint64_t)i * 160;
}

struct fake *fake_create(const struct fake_options *options);
/* Begins to move the traces into an array of twice the size, and stops after so many of them. */
void fake_rehash(struct fake *fake, unsigned moved);
void fake_destroy(struct fake *fake);
/* Where the byte of an address lies, to be written to; NULL if it is nowhere. */
uint8_t *fake_at(struct fake *fake, uint64_t address);
void fake_set(struct fake *fake, uint64_t address, uint64_t value);
uint64_t fake_get(struct fake *fake, uint64_t address);

#endif
