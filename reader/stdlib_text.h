/* SPDX-License-Identifier: MIT */
/* File names: str objects of every kind, or 3.15's char *, as UTF-8. */
#ifndef TM_STDLIB_TEXT_H
#define TM_STDLIB_TEXT_H

#include "stdlib_layout.h"
#include "stdlib_memory.h"

#define TM_STDLIB_TEXT_MAX 65536 /* characters; a longer one is cut */

struct tm_stdlib_text {
    struct tm_stdlib_memory *memory;
    const struct tm_stdlib_text_layout *layout;
    struct tm_stdlib_window window;
    uint64_t image;    /* any address in the interpreter's data */
    uint64_t str_type; /* the last type that was found to be one */
    bool chars;        /* names may be char * */
    bool unsure;       /* whether str objects have this layout */
    uint8_t *raw;      /* characters as they lie there */
    uint8_t *utf8;
};

/* `version` is PY_VERSION_HEX, or 0 if that is not known. */
struct tm_error *tm_stdlib_text_init(struct tm_stdlib_text *text, struct tm_stdlib_memory *memory,
                                     const struct tm_stdlib_text_layout *layout, uint64_t image, uint32_t version);
void tm_stdlib_text_deinit(struct tm_stdlib_text *text);
/* The name that a frame points to, in text->utf8, without a NUL.  False: the memory is not there, or is no name. */
bool tm_stdlib_text_read(struct tm_stdlib_text *text, uint64_t address, uint32_t *ret);

#endif
