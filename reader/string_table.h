/* SPDX-License-Identifier: MIT */
/* Strings interned by content: equal strings have equal numbers.  Number 0 is "". */
#ifndef TM_STRING_TABLE_H
#define TM_STRING_TABLE_H

#include "model.h"

struct tm_error *tm_strings_init(struct tm_strings *strings);
void tm_strings_deinit(struct tm_strings *strings);
/* copy: the bytes do not live as long as the strings. */
struct tm_error *tm_strings_intern(struct tm_strings *strings, const void *bytes, uint32_t length, bool copy,
                                   uint32_t *ret);
/* Byte order, which for UTF-8 (surrogatepass included) is the order of code points: as Python compares str. */
int tm_strings_compare(const struct tm_strings *strings, uint32_t left, uint32_t right);

/* 64 bits out of 64, so that every bit of the input counts. */
static inline uint64_t tm_mix(uint64_t value)
{
    value = (value ^ (value >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    value = (value ^ (value >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return value ^ (value >> 32);
}

#endif
