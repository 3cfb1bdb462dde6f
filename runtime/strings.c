/* SPDX-License-Identifier: MIT */
/* Python strings into the table: read from the object's bytes (PEP 393), written as UTF-8, each content once. */
#include <string.h>

#include "intern.h"
#include "table.h"

#define STRING_CHUNK_SHIFT 17 /* 1 MiB of units */
#define MAX_STRING_UNITS (UINT64_C(1) << 31)

static struct tm_index known; /* hash of the content -> string */

bool tm_strings_init(void)
{
    struct tm_table *strings = &tm_runtime.state->strings;
    return tm_index_init(&known, 10) &&
           tm_table_init(strings, TM_CHUNK_STRINGS, TM_STRING_UNIT, STRING_CHUNK_SHIFT, MAX_STRING_UNITS) &&
           tm_table_reserve(strings, 0) && (tm_table_publish(strings, 1), true);
}

/* Writes one code point; lone surrogates in their three-byte form, as CPython's "surrogatepass". */
static size_t put_utf8(char *out, uint32_t point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (char)(0xc0 | point >> 6);
        out[1] = (char)(0x80 | (point & 63));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (char)(0xe0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 63));
        out[2] = (char)(0x80 | (point & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | point >> 18);
    out[1] = (char)(0x80 | (point >> 12 & 63));
    out[2] = (char)(0x80 | (point >> 6 & 63));
    out[3] = (char)(0x80 | (point & 63));
    return 4;
}

static size_t to_utf8(PyObject *string, char *out)
{
    size_t used = 0;
    Py_ssize_t length = PyUnicode_GET_LENGTH(string);
    int kind = PyUnicode_KIND(string);
    const void *data = PyUnicode_DATA(string);

    for (Py_ssize_t i = 0; i < length && used + 4 <= TM_STRING_MAX; i++)
        used += put_utf8(out + used, PyUnicode_READ(kind, data, i));
    return used;
}

static uint64_t hash_bytes(const char *bytes, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ length;
    for (size_t i = 0; i < length; i += sizeof(uint64_t)) {
        uint64_t word = 0;
        memcpy(&word, bytes + i, length - i < sizeof(word) ? length - i : sizeof(word));
        hash = tm_fold(hash ^ word, UINT64_C(0x9e3779b97f4a7c15));
    }
    return hash;
}

/* Numbers of units: the string must not cross a chunk. */
static uint64_t place(uint64_t next, uint64_t units)
{
    uint64_t in_chunk = UINT64_C(1) << STRING_CHUNK_SHIFT;
    uint64_t left = in_chunk - (next & (in_chunk - 1));
    return left < units ? next + left : next;
}

static uint32_t append(const char *bytes, size_t length)
{
    struct tm_table *strings = &tm_runtime.state->strings;
    uint64_t units = (sizeof(struct tm_string) + length + 1 + TM_STRING_UNIT - 1) / TM_STRING_UNIT;
    uint64_t at = place(strings->count, units);
    struct tm_string *string = tm_table_reserve(strings, at);
    if (!string)
        return 0;
    string->length = (uint32_t)length;
    string->check = tm_string_check((uint32_t)at, (const uint8_t *)bytes, (uint32_t)length);
    memcpy(string + 1, bytes, length); /* the NUL is there: chunks are born zeroed */
    tm_table_publish(strings, at + units);
    return (uint32_t)at;
}

uint32_t tm_intern_bytes(const char *bytes, size_t length)
{
    for (uint64_t key = hash_bytes(bytes, length) | 1;; key += 2) {
        uint32_t found = tm_index_find(&known, key, 0);
        if (!found) {
            uint32_t at = append(bytes, length);
            return at && tm_index_add(&known, key, 0, at) ? at : 0;
        }
        const struct tm_string *string = tm_table_at(&tm_runtime.state->strings, found);
        if (string->length == length && !memcmp(string + 1, bytes, length))
            return found;
    }
}

uint32_t tm_intern_string(PyObject *string)
{
    static char buffer[TM_STRING_MAX]; /* under the lock; a hook may run on a small stack */
    if (!string || !PyUnicode_Check(string))
        return tm_intern_bytes("<unknown>", 9);
    size_t length = (size_t)PyUnicode_GET_LENGTH(string);
    if (PyUnicode_IS_COMPACT_ASCII(string) && length <= TM_STRING_MAX - 4) /* UTF-8 already */
        return tm_intern_bytes(PyUnicode_DATA(string), length);
    return tm_intern_bytes(buffer, to_utf8(string, buffer));
}
