/* SPDX-License-Identifier: MIT */
/*
 * As much of a pickle writer (protocol 2) as a tracemalloc.Snapshot needs.  Pickles are written here, never read: loading
 * one can run anything.  Only what the standard library's tracemalloc finds in its own pickles is ever named.
 */
#ifndef TM_PICKLE_H
#define TM_PICKLE_H

#include "text.h"

struct tm_pickle {
    struct tm_text *text;
    uint32_t memo_count;
};

#define TM_PICKLE_EMPTY_TUPLE ')'
#define TM_PICKLE_EMPTY_LIST ']'
#define TM_PICKLE_EMPTY_DICT '}'
#define TM_PICKLE_MARK '('
#define TM_PICKLE_NONE 'N'
#define TM_PICKLE_APPENDS 'e'
#define TM_PICKLE_SET_ITEMS 'u'
#define TM_PICKLE_TUPLE 't'
#define TM_PICKLE_TUPLE2 '\x86'
#define TM_PICKLE_TUPLE3 '\x87'
#define TM_PICKLE_NEW '\x81'
#define TM_PICKLE_BUILD 'b'

void tm_pickle_begin(struct tm_pickle *pickle, struct tm_text *text);
void tm_pickle_end(struct tm_pickle *pickle);
void tm_pickle_code(struct tm_pickle *pickle, char code);
void tm_pickle_number(struct tm_pickle *pickle, uint64_t value);
/* A str.  Bytes that are not UTF-8 come out as Python's surrogateescape has them. */
void tm_pickle_string(struct tm_pickle *pickle, struct tm_string_ref string);
/* An object of a class of the tracemalloc module, without state. */
void tm_pickle_object(struct tm_pickle *pickle, const char *class_name);
/* Remembers what was put last; returns its number plus 1. */
uint32_t tm_pickle_remember(struct tm_pickle *pickle);
/* The same object again, by what remember() returned. */
void tm_pickle_again(struct tm_pickle *pickle, uint32_t number);

#endif
