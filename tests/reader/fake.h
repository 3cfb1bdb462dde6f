/* SPDX-License-Identifier: MIT */
/*
 * A traced process that never was: a table as runtime/layout.h has it, built in memory, and a core file around it.
 * Everything can be bent after it was built, through pointers into the memory, before the core is written.
 */
#ifndef FAKE_H
#define FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reader/model.h"
#include "runtime/layout.h"

#define FAKE_DATA UINT64_C(0x555555560000) /* the extension's writable data; the root is its second page */
#define FAKE_ROOT (FAKE_DATA + TM_ROOT_ALIGN)
#define FAKE_ARENA UINT64_C(0x7f0000000000) /* the table */

struct fake {
    uint8_t *data;
    uint64_t data_size;
    uint8_t *arena;
    uint64_t arena_size; /* used */
    struct tm_root *root;
    struct tm_state *state;
    uint32_t unknown; /* string */
};

void fake_init(struct fake *fake);
void fake_deinit(struct fake *fake);
/* Where an address lies in this program's memory. */
void *fake_at(struct fake *fake, uint64_t address);

uint32_t fake_string(struct fake *fake, const void *bytes, uint32_t length);
uint32_t fake_location(struct fake *fake, const char *filename, const char *name, uint32_t lineno);
uint32_t fake_stack(struct fake *fake, uint32_t parent, uint32_t location);
/* A live block: slot and totals. */
void fake_block(struct fake *fake, uint64_t address, uint64_t size, uint32_t stack);
/* A slot alone. */
uint64_t *fake_slot(struct fake *fake, uint64_t address);
void fake_foreign(struct fake *fake, uint64_t address, uint64_t size, uint32_t domain, uint32_t stack);
struct tm_totals *fake_totals(struct fake *fake, uint32_t shard, uint32_t stack);
struct tm_chunk *fake_leaf(struct fake *fake, uint64_t address);
/* Chunk that holds element i of a table */
struct tm_chunk *fake_chunk(struct fake *fake, const struct tm_table *table, uint64_t element);

/* ---- memory --------------------------------------------------------------------------------------------------------- */

/* A target that is this memory: no copies, so that many changes are tried. */
struct fake_memory {
    struct tm_target target;
    struct tm_region regions[2];
    struct fake *fake;
};
void fake_memory_init(struct fake_memory *memory, struct fake *fake);

/* ---- cores ---------------------------------------------------------------------------------------------------------- */

struct fake_segment {
    uint64_t address;
    uint64_t memory; /* p_memsz */
    uint64_t file;   /* p_filesz */
    uint32_t flags;
    const void *bytes;
    const char *path; /* for NT_FILE, or NULL */
};

enum fake_notes {
    FAKE_NOTES_FIRST, /* as the kernel */
    FAKE_NOTES_LAST,  /* as gcore, with section headers behind them */
    FAKE_NO_NOTES,
};

struct fake_core {
    struct fake_segment segments[64];
    size_t count;
    enum fake_notes notes;
    bool odd;      /* notes at an odd place of the file */
    uint64_t cut;  /* bytes of the file to keep; 0: all */
    bool many;     /* PN_XNUM */
    uint64_t size; /* of the file, after it was written */
};

/* The two segments of a fake. */
void fake_core_init(struct fake_core *core, struct fake *fake);
/* Writes it to a file; the path is valid until the next call. */
const char *fake_core_write(struct fake_core *core);
/* Same, opened.  Fails the test if that fails. */
struct tm_target *fake_core_open(struct fake_core *core);
/* The whole way: core, target, model. */
struct tm_model *fake_model(struct fake *fake);
void fake_model_destroy(struct tm_model *model);

/* ---- faces ------------------------------------------------------------------------------------------------------------ */

/* A face whose output is kept. */
struct fake_face {
    struct tm_face face;
    struct fake_core *core;
    char out[1 << 16];
    size_t out_size;
    char err[4096];
    size_t err_size;
    uint64_t reads;
};
void fake_face_init(struct fake_face *face);
/* Memory comes from callbacks, zeros where a core lacks it if `zeros` (as GDB does). */
void fake_face_callbacks(struct fake_face *face, struct fake_core *core);
/* Splits at spaces, runs, returns the status; out and err hold what came. */
int fake_run(struct fake_face *face, const char *command);

#endif
