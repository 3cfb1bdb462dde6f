/* SPDX-License-Identifier: MIT */
/*
 * Snapshot files: what was traced, without the memory that it was traced in.  docs/snapshot-format.md tells the format to
 * somebody who writes a reader in another language; the structs are below.
 *
 * To the rest of the engine a snapshot file is a target like a core, and its decoder gives a model like any other.
 *
 *   snapshot_write.c   model -> file              new_file.c   a file that is there whole or not at all
 *   snapshot_blocks.c  single blocks, both ways   redact.c     names that say nothing
 *   snapshot_read.c    file -> target -> model
 */
#ifndef TM_SNAPSHOT_H
#define TM_SNAPSHOT_H

#include "selection.h"

/* ---- the format --------------------------------------------------------------------------------------------------- */

/* As PNG's: whoever takes the file for text, 7 bits, or DOS breaks it where it is noticed first. */
#define TM_SNAPSHOT_MAGIC "\x89tm snapshot\r\n\x1a\n" /* 16 bytes without the NUL */
#define TM_SNAPSHOT_MAGIC_SIZE 16
#define TM_SNAPSHOT_VERSION 1

/* All integers little-endian.  The header comes first, then the sections one behind the other, then the directory, which
 * ends the file.  Sections and directory are one zstd frame each, with its size and its checksum. */
struct tm_snapshot_header {
    uint8_t magic[TM_SNAPSHOT_MAGIC_SIZE];
    uint32_t version;
    uint32_t header_size; /* of this struct: where the first section begins */
    uint64_t file_size;
    uint64_t directory_offset;
    uint64_t directory_stored; /* bytes in the file */
    uint64_t section_count;    /* structs in the directory */
    uint64_t reserved;         /* 0 */
};

struct tm_snapshot_section {
    uint32_t kind;         /* enum tm_snapshot_kind; a reader skips those that it does not know */
    uint32_t element_size; /* bytes; elements may have grown at their end since */
    uint64_t offset;       /* in the file */
    uint64_t stored;       /* bytes in the file */
    uint64_t count;        /* elements */
};

enum tm_snapshot_kind {
    TM_SNAPSHOT_IDENTITY = 1,       /* one struct tm_snapshot_identity */
    TM_SNAPSHOT_STRING_LENGTHS = 2, /* uint32_t per string */
    TM_SNAPSHOT_STRING_BYTES = 3,   /* the strings, one behind the other */
    TM_SNAPSHOT_LOCATIONS = 4,      /* struct tm_model_location */
    TM_SNAPSHOT_STACKS = 5,         /* struct tm_stack_node */
    TM_SNAPSHOT_TOTALS = 6,         /* struct tm_total, one for each stack, over all domains */
    TM_SNAPSHOT_FOREIGN = 7,        /* struct tm_foreign_total: blocks of domains other than 0 */
    TM_SNAPSHOT_NOTES = 8,          /* bytes: why the numbers are lower bounds, each with a NUL behind it */
    TM_SNAPSHOT_BLOCKS = 9,         /* up to 65536 blocks by columns, any number of such sections */
};

#define TM_SNAPSHOT_TRACING UINT32_C(1)
#define TM_SNAPSHOT_HAS_NAMES UINT32_C(2)
#define TM_SNAPSHOT_HAS_TOTALS UINT32_C(4)
#define TM_SNAPSHOT_HAS_BLOCKS UINT32_C(8)
#define TM_SNAPSHOT_REDACTED UINT32_C(16)
#define TM_SNAPSHOT_LIVE UINT32_C(32)      /* the source was a process that ran on */
#define TM_SNAPSHOT_TRUNCATED UINT32_C(64) /* the source was a truncated core */

struct tm_snapshot_identity {
    char tracer[16]; /* NUL-padded, as all text here */
    char tracer_version[32];
    char python[64];
    uint32_t python_version; /* PY_VERSION_HEX */
    uint32_t flags;          /* TM_SNAPSHOT_... */
    uint32_t pid;
    uint32_t frame_limit;
    uint32_t program; /* string: the command line; 0: unknown */
    uint32_t signal;  /* that killed it; 0: none or unknown */
    uint64_t started; /* CLOCK_REALTIME nanoseconds, 0 if unknown */
    uint64_t taken;   /* when the snapshot was written, the same way */
    uint64_t table_bytes;
    uint64_t size;
    uint64_t count;
    uint64_t peak;
    uint64_t lost;
    uint64_t notes; /* how many there were; those that are kept lie in TM_SNAPSHOT_NOTES */
};

#define TM_SNAPSHOT_BLOCKS_AT_ONCE 65536
/* Bytes of a block in its section: of each of its columns one element. */
#define TM_SNAPSHOT_BLOCK_SIZE 24

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct tm_snapshot_options {
    const struct tm_selection *selection; /* only what filters leave; NULL: all */
    bool blocks;                          /* with the single blocks */
    bool redact;                          /* names become hashes */
    const char *redact_key;               /* NULL: the public key */
    bool replace;                         /* a regular file of this name may be replaced */
};

struct tm_snapshot_written {
    uint64_t file_size;
    uint64_t stacks;
    uint64_t blocks;
};

struct tm_error *tm_snapshot_write(struct tm_model *model, const char *path, const struct tm_snapshot_options *options,
                                   struct tm_snapshot_written *ret);

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* *is: the file begins as a snapshot, or as another kind of snapshot (an error, then). */
struct tm_error *tm_snapshot_sniff(const char *path, bool *is);
struct tm_error *tm_target_open_snapshot(const struct tm_face *face, const char *path, struct tm_target **ret);
/* Whether a target is one, so that tm_snapshot_decoder understands it. */
bool tm_target_is_snapshot(const struct tm_target *target);
/* What a snapshot says of itself; NULL: the target is none. */
const struct tm_snapshot_identity *tm_snapshot_identity(const struct tm_target *target);
extern const struct tm_decoder tm_snapshot_decoder;

/* ---- between the files of the snapshot ---------------------------------------------------------------------------- */

struct tm_snapshot_file {
    struct tm_target target;
    const uint8_t *image;
    uint64_t size;
    struct tm_snapshot_section *sections;
    uint64_t section_count;
    struct tm_snapshot_identity identity;
};

/* Elements of a section, each cut or padded with zeros to element_size; to be freed. */
struct tm_error *tm_snapshot_load(const struct tm_snapshot_file *file, const struct tm_snapshot_section *section,
                                  uint32_t element_size, void **ret);
__attribute__((format(printf, 2, 3), returns_nonnull)) struct tm_error *
tm_snapshot_damaged(const struct tm_snapshot_file *file, const char *because, ...);
/* ops->each_block of a snapshot's model */
struct tm_error *tm_snapshot_each_block(struct tm_model *model, tm_blocks_fn fn, void *context);

struct tm_snapshot_writer;
/* Compresses elements into a section of their own. */
struct tm_error *tm_snapshot_put(struct tm_snapshot_writer *writer, enum tm_snapshot_kind kind, const void *elements,
                                 uint32_t element_size, uint64_t count);
/* Writes all blocks that the selection keeps; stacks[] tells their new numbers. */
struct tm_error *tm_snapshot_put_blocks(struct tm_snapshot_writer *writer, struct tm_model *model,
                                        const struct tm_selection *selection, const uint32_t *stacks, uint64_t *ret);

#endif
