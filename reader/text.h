/* SPDX-License-Identifier: MIT */
/* Text on its way out: a growing buffer, names made harmless, sizes as tracemalloc writes them, output to a face. */
#ifndef TM_TEXT_H
#define TM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model.h"
#include "tm.h"

struct tm_text {
    char *bytes; /* NUL-terminated once anything was added */
    size_t size;
    size_t room;
    bool failed; /* out of memory: some of it is missing */
};

void tm_text_add(struct tm_text *text, const void *bytes, size_t size);
/* Takes back what was added since it had this size. */
void tm_text_cut(struct tm_text *text, size_t size);
__attribute__((format(printf, 2, 3))) void tm_text_print(struct tm_text *text, const char *format, ...);
/* A name or a line of source out of a target.  Control characters, whatever could reorder a terminal's text, and bytes
 * that are not UTF-8 come out as escapes. */
void tm_text_add_name(struct tm_text *text, struct tm_string_ref name);
/* As tracemalloc: "4855 KiB", "99.9 MiB", "126 B".  sign: "+4855 KiB". */
void tm_text_add_size(struct tm_text *text, double size, bool sign);
void tm_text_free(struct tm_text *text);

/* The code point at the beginning of bytes, surrogates included; < 0: not UTF-8.  *used: its bytes, 1 if it is none. */
int32_t tm_utf8_next(const char *bytes, size_t size, size_t *used);

/* A stream of a face.  Collects text, so that a debugger's write is called for kilobytes, not for words. */
struct tm_output {
    const struct tm_face *face;
    struct tm_text text;
    bool closed; /* the reader of the text has gone away */
    bool held;   /* keep it all: a process stands still, and must not wait for whoever reads */
};
/* Hands on what was collected if it is much. */
void tm_output_some(struct tm_output *output);
void tm_output_all(struct tm_output *output);

#endif
