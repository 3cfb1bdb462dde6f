/* SPDX-License-Identifier: MIT */
/*
 * A target is a dead or living address space: a core file (core.c), a process (proc.c), whatever a face can read
 * (callback.c).  It has sorted regions and reads bytes; it knows nothing of what the bytes mean.
 *
 * Reads say exactly why they fail and where.  They do not create errors, because a reader of a damaged core fails often
 * and goes on; tm_fault_error() makes one when the answer ends there.
 */
#ifndef TM_TARGET_H
#define TM_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"
#include "tm.h"

enum tm_outcome {
    TM_READ_OK = 0,
    TM_READ_UNMAPPED,    /* the program had no memory there */
    TM_READ_NOT_SAVED,   /* it had, but the core does not hold it (coredump_filter, MADV_DONTDUMP) */
    TM_READ_TRUNCATED,   /* the core would hold it, but the file ends before */
    TM_READ_DENIED,      /* no permission, or the process is gone */
    TM_READ_INTERRUPTED, /* Ctrl-C */
};

/* Outcome of a read.  Bytes below `address` were read. */
struct tm_fault {
    enum tm_outcome outcome;
    uint64_t address; /* first byte that could not be read */
};

struct tm_region {
    uint64_t start;
    uint64_t end;
    uint64_t saved;          /* bytes from start that can be read; the rest fails with `missing` */
    uint64_t offset;         /* of start in the core file */
    uint32_t flags;          /* TM_REGION_READ... */
    enum tm_outcome missing; /* why [start + saved, end) cannot be read */
    const char *path;        /* file mapped there, or NULL; owned by the target */
};

struct tm_target;
struct tm_cache;

struct tm_target_ops {
    struct tm_fault (*read)(struct tm_target *target, uint64_t address, void *buffer, uint64_t size);
    /* NULL if the bytes do not lie in one piece in the engine's own memory; valid until destroy */
    const void *(*view)(struct tm_target *target, uint64_t address, uint64_t size);
    void (*destroy)(struct tm_target *target);
};

/* Embedded as first member by each kind of target. */
struct tm_target {
    const struct tm_target_ops *ops;
    const struct tm_face *face; /* for interrupted(); may be NULL */
    struct tm_region *regions;  /* sorted, without overlaps */
    size_t region_count;
    char *name;             /* for sentences: "core.1234", "process 1234" */
    pid_t pid;              /* of the program that the target is or was; 0: unknown */
    char *program;          /* its command line, or the best known part of it; or NULL */
    int signal;             /* that killed it; 0: unknown or alive */
    bool live;              /* a process, which may change while it is read */
    bool still;             /* ... but stands still for that long */
    bool truncated;         /* the core file ends before its memory does */
    struct tm_cache *cache; /* for tm_target_peek() */
    int64_t asked;          /* when interrupted() was last asked, milliseconds */
    char *source_root;      /* prefix for paths of the target's own files ("/proc/1234/root"), or NULL */
};

struct tm_error *tm_target_open_core(const struct tm_face *face, const char *path, struct tm_target **ret);
struct tm_error *tm_target_open_process(const struct tm_face *face, pid_t pid, struct tm_target **ret);
struct tm_error *tm_target_open_callbacks(const struct tm_face *face, struct tm_target **ret);
/* What the command line calls SOURCE: a pid or a file. */
struct tm_error *tm_target_open_source(const struct tm_face *face, const char *source, struct tm_target **ret);
/* What a debugger face gives. */
struct tm_error *tm_target_open_face(const struct tm_face *face, struct tm_target **ret);
void tm_target_destroy(struct tm_target *target);

/* Read `size` bytes.  They may cross the borders of regions. */
struct tm_fault tm_target_read(struct tm_target *target, uint64_t address, void *buffer, uint64_t size);
/* The same for few bytes at many places (chains, hash tables): goes through a cache of blocks where a single read is
 * expensive. */
struct tm_fault tm_target_peek(struct tm_target *target, uint64_t address, void *buffer, uint64_t size);
/* A pointer to the bytes without copying them, or NULL if that is not possible (then read). */
const void *tm_target_view(struct tm_target *target, uint64_t address, uint64_t size);
/* How many bytes from `address` on lie in regions that can be read, at most `size`; *ret (may be NULL) tells what stops
 * there.  Makes no promise about a live process. */
uint64_t tm_target_available(struct tm_target *target, uint64_t address, uint64_t size, struct tm_fault *ret);
/* Region that holds the address, or NULL. */
const struct tm_region *tm_target_region(const struct tm_target *target, uint64_t address);
bool tm_target_interrupted(struct tm_target *target);
/* Long work is at `done` of about `total` blocks. */
static inline void tm_target_progress(const struct tm_target *target, uint64_t done, uint64_t total)
{
    if (target->face && target->face->progress)
        target->face->progress(target->face->data, done, total);
}

/* Bytes of a target, wherever they lie: the view if there is one, otherwise a copy.  Start with a zeroed struct; it can
 * be loaded again and again, and must be unloaded in the end. */
struct tm_bytes {
    const uint8_t *data;
    uint64_t size;
    void *copy;
    uint64_t room;
};
/* Loads as many of the `size` bytes as there are: see bytes->size, and the fault for why it is less. */
struct tm_fault tm_bytes_load(struct tm_bytes *bytes, struct tm_target *target, uint64_t address, uint64_t size);
void tm_bytes_unload(struct tm_bytes *bytes);

/* "memory at 0x7f.. was not saved in core.1234": for sentences; and as an error */
const char *tm_outcome_text(enum tm_outcome outcome);
struct tm_error *tm_fault_error(const struct tm_target *target, struct tm_fault fault, const char *what);

/* command_line.c: the command line, from the target's stack; NULL: not found. */
char *tm_target_command_line(struct tm_target *target);

/* For the kinds of target: grow, then sort, cut overlaps. */
struct tm_error *tm_regions_add(struct tm_target *target, size_t *room, const struct tm_region *region);
void tm_regions_finish(struct tm_target *target);

#endif
