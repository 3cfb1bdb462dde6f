/* SPDX-License-Identifier: MIT */
/*
 * tm's trace table, as it lies in the memory of a traced process.
 *
 * This is the only header that the runtime (which writes the table) and the reader (which finds it in a core, a live
 * process or a table file) both include.  runtime/LAYOUT.md tells the same story for somebody who writes a reader in
 * another language; a test holds the two together.
 *
 * The way from a block's address to its traceback:
 *
 *   tm_root ──state──> tm_state ──map──> directory ──> directory ──> leaf: one 8-byte slot per 16-byte granule
 *   (in the extension's     │                                          │ {size: 32, stack: 30, flags: 2}
 *    .data, page-aligned,   │                                          ▼
 *    found by its magic)    ├─ stacks     [stack]    {parent stack, location, depth}     walk parents: newest frame first
 *                           ├─ locations  [location] {file name, function name, line}
 *                           ├─ strings    [ref]      {length, bytes}
 *                           ├─ shards[].totals [stack] {live bytes, live blocks}         sum over shards
 *                           └─ foreign    [i]        {address, size, domain, stack}      PyTraceMalloc_Track's blocks
 *
 * Promises, which hold at every single instruction of the traced process:
 *   - A block is published and retracted by one aligned 8-byte store to its slot.
 *   - Tables grow by append-then-publish: element i is complete before `count` exceeds i.  Nothing moves, nothing is
 *     rehashed, no pointer in the table ever dangles.
 *   - No lock protects anything here; a reader never waits.
 *   - Every chunk begins with a tm_chunk that names itself, so that a reader can tell "empty" from "missing": debuggers
 *     return zeros for pages that a core lacks.
 *   - All memory is private and anonymous (or one table file); it is in a core with the default filter.
 *
 * All integers are in the byte order of the process (tm_root.byte_order tells), addresses are 8 bytes.  Structs only
 * ever grow at their end: the sizes in the root and in the tables tell how much of a struct the writer knew.
 */
#ifndef TM_LAYOUT_H
#define TM_LAYOUT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/* Version 1 had no check words (they were 0), and its numbers of blocks were not in steps.  Readers read both. */
#define TM_LAYOUT_VERSION 2

#define TM_ROOT_MAGIC                                                                                                  \
    {                                                                                                                  \
        0x89, 't', 'm', ' ', 't', 'r', 'a', 'c', 'e', ' ', 'r', 'o', 'o', 't', '\r', '\n'                              \
    }
#define TM_CHUNK_MAGIC UINT64_C(0x6b6e7568636d74ab) /* bytes ab 't' 'm' 'c' 'h' 'u' 'n' 'k' in little-endian memory */
#define TM_BYTE_ORDER UINT32_C(0x01020304)
#define TM_ROOT_ALIGN 4096

/* ---- chunks: what all memory of the table is cut into ---------------------------------------------------------- */

enum tm_chunk_kind {
    TM_CHUNK_STATE = 1,     /* one struct tm_state */
    TM_CHUNK_DIRECTORY = 2, /* uint64_t addresses of chunks, 0 where there is none yet */
    TM_CHUNK_LEAF = 3,      /* uint64_t slots of the address map */
    TM_CHUNK_STRINGS = 4,
    TM_CHUNK_LOCATIONS = 5,
    TM_CHUNK_STACKS = 6,
    TM_CHUNK_TOTALS = 7,
    TM_CHUNK_FOREIGN = 8,
};

/* Head of every chunk.  `self` is the chunk's own address: accept a chunk only if magic, kind, index and self match. */
struct tm_chunk {
    uint64_t magic;        /* TM_CHUNK_MAGIC */
    uint32_t kind;         /* enum tm_chunk_kind */
    uint32_t index;        /* which chunk of its table; a leaf: address >> TM_LEAF_ADDRESS_BITS of what it maps */
    uint64_t self;         /* address of this header */
    uint64_t bytes;        /* size of the whole chunk, header included */
    uint32_t data_offset;  /* first element: self + data_offset */
    uint32_t element_size; /* bytes */
    uint64_t capacity;     /* elements */
    uint64_t used;         /* elements published in this chunk; append-only tables only, otherwise == capacity */
    uint64_t previous;     /* address of the chunk that was made before this one; 0: it is the first */
};

/* An append-only array of elements, spread over equal chunks.  Element i is element (i mod 2^chunk_shift) of the chunk
 * whose address is entry (i >> chunk_shift) of the directory. */
struct tm_table {
    uint64_t directory;          /* address of a TM_CHUNK_DIRECTORY; 0: nothing was ever put into this table */
    uint64_t count;              /* elements published (foreign: records ever used; totals: unused, as stacks.count) */
    uint32_t kind;               /* enum tm_chunk_kind of its chunks */
    uint32_t element_size;       /* bytes */
    uint32_t chunk_shift;        /* log2 of elements in a chunk */
    uint32_t directory_capacity; /* entries */
};

/* ---- the address map ---------------------------------------------------------------------------------------------- */

/*
 * A radix map over 48 bits of address.  directory entry [address >> 35] -> directory entry [(address >> 22) & 8191]
 * -> leaf slot [(address >> 4) & 262143].  The slot belongs to whoever owns the block that starts in its granule.
 */
#define TM_GRANULE_BITS 4
#define TM_LEAF_SLOT_BITS 18
#define TM_LEAF_ADDRESS_BITS (TM_GRANULE_BITS + TM_LEAF_SLOT_BITS) /* a leaf maps 4 MiB of address space */
#define TM_DIRECTORY_BITS 13
#define TM_ADDRESS_BITS (TM_LEAF_ADDRESS_BITS + 2 * TM_DIRECTORY_BITS)
#define TM_LEAF_DATA_OFFSET 4096

/* Slot: bits 0-31 size in bytes as asked for, bits 32-61 stack, bit 62 code, bit 63 extension.  0: no block. */
#define TM_SLOT_SIZE_MASK UINT64_C(0xffffffff)
#define TM_SLOT_STACK_SHIFT 32
#define TM_SLOT_STACK_MASK UINT32_C(0x3fffffff)
/* The block holds a code object that stacks refer to.  With stack 0 the block itself is not traced (older than start). */
#define TM_SLOT_CODE (UINT64_C(1) << 62)
/* A size that does not fit: the slot holds TM_SLOT_SIZE_BIG, and the next slot (which the block owns too, being that
 * large) holds TM_SLOT_EXTENSION | size.  An extension slot that no such slot precedes is to be ignored. */
#define TM_SLOT_EXTENSION (UINT64_C(1) << 63)
#define TM_SLOT_SIZE_BIG UINT64_C(0xffffffff)

/* ---- damage shows ---------------------------------------------------------------------------------------------------- */

/*
 * No number that a reader sums up may be wrong without a sign of it.  Bytes are kept twice (per stack, and per shard).
 * Numbers of blocks are kept in steps of a prime, which costs the hook nothing: whatever bit of such a number turns, it is
 * no longer a multiple.  Records that are written once carry a check word over their number and their content.
 */
#define TM_COUNT_STEP INT64_C(1000003)

#define TM_CHECK_FACTOR UINT32_C(0x9e3779b1)
static inline uint32_t tm_check_add(uint32_t check, uint32_t value)
{
    check = (check ^ value) * TM_CHECK_FACTOR;
    return check ^ check >> 16;
}

/* ---- stacks, locations, strings ------------------------------------------------------------------------------------ */

#define TM_STACK_NONE 0    /* the empty stack: parent of every outermost frame */
#define TM_STACK_UNKNOWN 1 /* one frame, "<unknown>" line 0: no Python frame was there, as in tracemalloc */

/* A stack is its newest frame and the stack below it.  Parents have smaller numbers than their children, so that a walk
 * ends.  A stack may hold more frames than tm_state.frame_limit: a reader shows the newest frame_limit of them and
 * merges stacks that then look alike. */
struct tm_stack {
    uint32_t parent;   /* stack below; TM_STACK_NONE: no more frames are known */
    uint32_t location; /* index into locations */
    uint32_t depth;    /* frames that the thread had when the stack was first seen, this one included (total_nframe);
                          >= the number of frames recorded; saturates */
    uint32_t check;    /* tm_stack_check() */
};

static inline uint32_t tm_stack_check(uint32_t number, const struct tm_stack *stack)
{
    uint32_t check = tm_check_add(tm_check_add(TM_CHUNK_STACKS, number), stack->parent);
    return tm_check_add(tm_check_add(check, stack->location), stack->depth);
}

struct tm_location {
    uint32_t filename; /* string */
    uint32_t name;     /* string: the function's qualified name (co_qualname, 3.11+), otherwise its co_name */
    uint32_t lineno;   /* 0: unknown */
    uint32_t check;    /* tm_location_check() */
};

static inline uint32_t tm_location_check(uint32_t number, const struct tm_location *location)
{
    uint32_t check = tm_check_add(tm_check_add(TM_CHUNK_LOCATIONS, number), location->filename);
    return tm_check_add(tm_check_add(check, location->name), location->lineno);
}

/* Strings lie in units of 8 bytes; a string's number is its first unit.  String 0 does not exist.  UTF-8; lone
 * surrogates (undecodable file names) stand as their three-byte form (CPython's "surrogatepass").  A string never
 * crosses a chunk; one longer than TM_STRING_MAX bytes is cut at a character. */
#define TM_STRING_UNIT 8
#define TM_STRING_MAX 65536
struct tm_string {
    uint32_t length; /* bytes, without the NUL that follows them */
    uint32_t check;  /* tm_string_check() */
    /* char bytes[length + 1] */
};

static inline uint32_t tm_string_check(uint32_t number, const uint8_t *bytes, uint32_t length)
{
    uint32_t check = tm_check_add(tm_check_add(TM_CHUNK_STRINGS, number), length);
    for (uint32_t i = 0; i < length; i++)
        check = tm_check_add(check, bytes[i]);
    return check;
}

/* ---- live totals ---------------------------------------------------------------------------------------------------- */

/* Blocks of the default domain and foreign ones alike.  One shard's numbers may be negative (allocated here, freed
 * there); the sum over all shards is what lives. */
struct tm_totals {
    int64_t bytes;
    int64_t blocks; /* times TM_COUNT_STEP */
};

#define TM_MAX_SHARDS 16
struct tm_shard {
    struct tm_table totals; /* of tm_totals, indexed by stack */
    int64_t live_bytes;     /* sum of totals[].bytes, kept beside it */
    uint64_t peak;          /* highest sum of live_bytes over all shards that a change in this shard has seen */
    uint64_t reserved[2];
};

/* ---- foreign blocks --------------------------------------------------------------------------------------------------- */

/* Whatever PyTraceMalloc_Track names: the address may be any number.  stack == 0: the record is free.  {domain, stack}
 * is published by one 8-byte store after the rest. */
struct tm_foreign {
    uint64_t address;
    uint64_t size;
    uint32_t domain;
    uint32_t stack;
};

/* ---- state and root ------------------------------------------------------------------------------------------------------- */

/* Everything but the root lies in chunks that are reached from here.  Directly behind its chunk header. */
struct tm_state {
    uint32_t tracing;     /* 1 between start() and stop() */
    uint32_t frame_limit; /* frames of a traceback to show: start()'s nframe */
    uint64_t map;         /* address of the map's first TM_CHUNK_DIRECTORY */
    struct tm_table stacks;
    struct tm_table locations;
    struct tm_table strings;
    struct tm_table foreign;
    uint64_t lost; /* allocations that could not be recorded (no memory for the table, or an address > 48 bits), times
                      TM_COUNT_STEP */
    uint64_t started;      /* CLOCK_REALTIME of the last start(), nanoseconds */
    uint64_t table_bytes;  /* mapped for the table in all; what of it is resident only the kernel knows */
    uint32_t leaf_count;   /* leaves of the map */
    uint32_t shard_count;  /* how many of shards[] are in use */
    uint64_t newest_chunk; /* head of the list of all chunks, linked by `previous` */
    uint32_t check;        /* tm_state_check(), while tracing is 1 */
    uint32_t reserved1;
    uint64_t reserved[8]; /* shards begin on a cache line of their own */
    struct tm_shard shards[TM_MAX_SHARDS];
};

/* Of what start() settles. */
static inline uint32_t tm_state_check(const struct tm_state *state)
{
    uint32_t check = tm_check_add(tm_check_add(TM_CHUNK_STATE, state->frame_limit), (uint32_t)state->started);
    return tm_check_add(check, (uint32_t)(state->started >> 32));
}

/* The way in.  In the writable data of the runtime's shared object, aligned to TM_ROOT_ALIGN.  Accept it only if the
 * magic matches and `self` is the address at which it was found: copies lie about in heaps and file buffers. */
struct tm_root {
    uint8_t magic[16];       /* TM_ROOT_MAGIC */
    uint32_t byte_order;     /* TM_BYTE_ORDER */
    uint32_t layout_version; /* TM_LAYOUT_VERSION */
    uint64_t self;           /* address of this record */
    uint64_t state;          /* address of the TM_CHUNK_STATE chunk; 0: tracing was never started */
    uint32_t root_size;      /* sizeof of what the writer knew: */
    uint32_t state_size;
    uint32_t chunk_size;
    uint32_t table_size;
    uint32_t shard_size;
    uint32_t pid;            /* kept right over fork() */
    uint32_t python_version; /* PY_VERSION_HEX of the interpreter that runs */
    uint8_t granule_bits;    /* geometry of the map, as the constants above */
    uint8_t leaf_slot_bits;
    uint8_t directory_bits;
    uint8_t reserved1;
    char runtime_version[32]; /* tm's own version, NUL-terminated */
    char python[64];          /* first words of Py_GetVersion(), e.g. "3.12.1" */
    char table_file[1024];    /* path of the file that the table lives in; "": anonymous memory */
};

/* ---- what no compiler may change ------------------------------------------------------------------------------------------ */

#define TM_PIN(type, member, offset) static_assert(offsetof(struct type, member) == (offset), #type "." #member)
#define TM_PIN_SIZE(type, size) static_assert(sizeof(struct type) == (size), #type)

TM_PIN_SIZE(tm_chunk, 64);
TM_PIN(tm_chunk, magic, 0);
TM_PIN(tm_chunk, kind, 8);
TM_PIN(tm_chunk, index, 12);
TM_PIN(tm_chunk, self, 16);
TM_PIN(tm_chunk, bytes, 24);
TM_PIN(tm_chunk, data_offset, 32);
TM_PIN(tm_chunk, element_size, 36);
TM_PIN(tm_chunk, capacity, 40);
TM_PIN(tm_chunk, used, 48);
TM_PIN(tm_chunk, previous, 56);

TM_PIN_SIZE(tm_table, 32);
TM_PIN(tm_table, directory, 0);
TM_PIN(tm_table, count, 8);
TM_PIN(tm_table, kind, 16);
TM_PIN(tm_table, element_size, 20);
TM_PIN(tm_table, chunk_shift, 24);
TM_PIN(tm_table, directory_capacity, 28);

TM_PIN_SIZE(tm_stack, 16);
TM_PIN(tm_stack, parent, 0);
TM_PIN(tm_stack, location, 4);
TM_PIN(tm_stack, depth, 8);
TM_PIN(tm_stack, check, 12);

TM_PIN_SIZE(tm_location, 16);
TM_PIN(tm_location, filename, 0);
TM_PIN(tm_location, name, 4);
TM_PIN(tm_location, lineno, 8);
TM_PIN(tm_location, check, 12);

TM_PIN_SIZE(tm_string, 8);
TM_PIN(tm_string, length, 0);
TM_PIN(tm_string, check, 4);

TM_PIN_SIZE(tm_totals, 16);
TM_PIN(tm_totals, bytes, 0);
TM_PIN(tm_totals, blocks, 8);

TM_PIN_SIZE(tm_shard, 64);
TM_PIN(tm_shard, totals, 0);
TM_PIN(tm_shard, live_bytes, 32);
TM_PIN(tm_shard, peak, 40);

TM_PIN_SIZE(tm_foreign, 24);
TM_PIN(tm_foreign, address, 0);
TM_PIN(tm_foreign, size, 8);
TM_PIN(tm_foreign, domain, 16);
TM_PIN(tm_foreign, stack, 20);

TM_PIN_SIZE(tm_state, 256 + 16 * 64);
TM_PIN(tm_state, tracing, 0);
TM_PIN(tm_state, frame_limit, 4);
TM_PIN(tm_state, map, 8);
TM_PIN(tm_state, stacks, 16);
TM_PIN(tm_state, locations, 48);
TM_PIN(tm_state, strings, 80);
TM_PIN(tm_state, foreign, 112);
TM_PIN(tm_state, lost, 144);
TM_PIN(tm_state, started, 152);
TM_PIN(tm_state, table_bytes, 160);
TM_PIN(tm_state, leaf_count, 168);
TM_PIN(tm_state, shard_count, 172);
TM_PIN(tm_state, newest_chunk, 176);
TM_PIN(tm_state, check, 184);
TM_PIN(tm_state, shards, 256);

TM_PIN_SIZE(tm_root, 1192);
TM_PIN(tm_root, magic, 0);
TM_PIN(tm_root, byte_order, 16);
TM_PIN(tm_root, layout_version, 20);
TM_PIN(tm_root, self, 24);
TM_PIN(tm_root, state, 32);
TM_PIN(tm_root, root_size, 40);
TM_PIN(tm_root, state_size, 44);
TM_PIN(tm_root, chunk_size, 48);
TM_PIN(tm_root, table_size, 52);
TM_PIN(tm_root, shard_size, 56);
TM_PIN(tm_root, pid, 60);
TM_PIN(tm_root, python_version, 64);
TM_PIN(tm_root, granule_bits, 68);
TM_PIN(tm_root, leaf_slot_bits, 69);
TM_PIN(tm_root, directory_bits, 70);
TM_PIN(tm_root, runtime_version, 72);
TM_PIN(tm_root, python, 104);
TM_PIN(tm_root, table_file, 168);

#endif
