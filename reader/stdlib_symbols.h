/* SPDX-License-Identifier: MIT */
/*
 * What the files on disk know of an interpreter: symbols, and debug information, perhaps in a file of its own.  Nothing
 * depends on it: it is held against what was found without it.
 */
#ifndef TM_STDLIB_SYMBOLS_H
#define TM_STDLIB_SYMBOLS_H

#include <gelf.h>

#include "stdlib_find.h"

/* The file that was mapped, and the one that `strip` or a distribution's -dbg package put beside it. */
struct tm_stdlib_binary {
    int fd, debug_fd;
    Elf *elf;
    Elf *debug;    /* NULL: there is none, or elf has it all */
    uint64_t bias; /* address in the target - address in the file */
};

/* False: the file is not there any more, or is another one now. */
bool tm_stdlib_binary_open(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image,
                           struct tm_stdlib_binary *ret);
void tm_stdlib_binary_close(struct tm_stdlib_binary *binary);

/* Address of a variable: from the debugger, or from the files.  0: unknown. */
uint64_t tm_stdlib_symbol(struct tm_stdlib_memory *memory, const struct tm_stdlib_image *image, const char *name);

enum tm_stdlib_verdict {
    TM_STDLIB_SILENT, /* there is nothing to compare with */
    TM_STDLIB_AGREES,
    TM_STDLIB_CONTRADICTS,
};

/* Whether symbols and debug information agree with what was found, and a sentence of which ones said what.  To be freed. */
enum tm_stdlib_verdict tm_stdlib_compare(struct tm_stdlib_memory *memory, const struct tm_stdlib_state *state,
                                         char **sentence);

/* ---- stdlib_dwarf.c ------------------------------------------------------------------------------------------------- */

struct tm_stdlib_dwarf {
    unsigned agree;          /* offsets and sizes */
    char contradiction[160]; /* "" if there is none */
    uint64_t slot;           /* address of the variable `traces`, as in the file; 0: unknown */
};

/* Reads the structs of tracemalloc's own source.  False: they are not there. */
bool tm_stdlib_dwarf_read(Elf *elf, const struct tm_stdlib_family *family, uint64_t runtime,
                          struct tm_stdlib_dwarf *ret);

#endif
