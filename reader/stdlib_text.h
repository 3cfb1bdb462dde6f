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
    uint8_t *raw;      /* characters as they lie there */
    uint8_t *utf8;
};

struct tm_error *tm_stdlib_text_init(struct tm_stdlib_text *text, struct tm_stdlib_memory *memory,
                                     const struct tm_stdlib_text_layout *layout, uint64_t image);
void tm_stdlib_text_deinit(struct tm_stdlib_text *text);
/* The name that a frame points to, in text->utf8, without a NUL.  False: the memory is not there, or is no name. */
bool tm_stdlib_text_read(struct tm_stdlib_text *text, uint64_t address, uint32_t *ret);
/* Whether the pointer leads to a str object of this layout, from all that can be seen of it. */
bool tm_stdlib_text_is_str(struct tm_stdlib_text *text, uint64_t address);

#endif
