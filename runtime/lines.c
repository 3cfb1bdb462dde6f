/* SPDX-License-Identifier: MIT */
/* Line tables: Objects/lnotab_notes.txt (3.8, 3.9), Objects/lnotab_notes.txt and PEP 626 (3.10), Objects/locations.md
 * (3.11+; later InternalDocs/code_objects.md).  Bounded by the table's own length. */
#include "lines.h"

#if PY_VERSION_HEX >= 0x030B0000

/* First byte of an entry: 1, code: 4 bits, code units - 1: 3 bits. */
enum {
    CODE_ONE_LINE_0 = 10,
    CODE_ONE_LINE_2 = 12,
    CODE_NO_COLUMNS = 13,
    CODE_LONG = 14,
    CODE_NONE = 15,
};

static int read_signed_varint(const uint8_t **at, const uint8_t *end)
{
    unsigned value = 0;
    unsigned shift = 0;
    while (*at < end && shift < 32) {
        uint8_t byte = *(*at)++;
        value |= (unsigned)(byte & 63) << shift;
        shift += 6;
        if (!(byte & 64))
            break;
    }
    return value & 1 ? -(int)(value >> 1) : (int)(value >> 1);
}

uint32_t tm_code_line(const PyCodeObject *code, intptr_t offset)
{
    if (offset < 0)
        return (uint32_t)code->co_firstlineno;
    const uint8_t *at = (const uint8_t *)PyBytes_AS_STRING(code->co_linetable);
    const uint8_t *end = at + PyBytes_GET_SIZE(code->co_linetable);
    int line = code->co_firstlineno;
    intptr_t start = 0;

    while (at < end) {
        uint8_t head = *at++;
        int kind = head >> 3 & 15;
        start += (head & 7) + 1;
        if (kind == CODE_NO_COLUMNS || kind == CODE_LONG)
            line += read_signed_varint(&at, end);
        else if (kind >= CODE_ONE_LINE_0 && kind <= CODE_ONE_LINE_2)
            line += kind - CODE_ONE_LINE_0;
        if (offset < start)
            return kind == CODE_NONE || line < 0 ? 0 : (uint32_t)line;
        while (at < end && !(*at & 128)) /* columns; only an entry's first byte has the high bit */
            at++;
    }
    return 0;
}

#elif PY_VERSION_HEX >= 0x030A0000

/* Pairs {bytes of bytecode, line delta}; delta -128: no line. */
uint32_t tm_code_line(const PyCodeObject *code, intptr_t offset)
{
    if (offset < 0)
        return (uint32_t)code->co_firstlineno;
    const uint8_t *table = (const uint8_t *)PyBytes_AS_STRING(code->co_linetable);
    Py_ssize_t size = PyBytes_GET_SIZE(code->co_linetable);
    int line = code->co_firstlineno;
    intptr_t end = 0;

    offset *= sizeof(_Py_CODEUNIT);
    for (Py_ssize_t i = 0; i + 1 < size; i += 2) {
        int8_t delta = (int8_t)table[i + 1];
        end += table[i];
        if (delta != -128)
            line += delta;
        if (offset < end)
            return delta == -128 || line < 0 ? 0 : (uint32_t)line;
    }
    return 0;
}

#else

/* Pairs {bytes of bytecode, signed line delta}. */
uint32_t tm_code_line(const PyCodeObject *code, intptr_t offset)
{
    const uint8_t *table = (const uint8_t *)PyBytes_AS_STRING(code->co_lnotab);
    Py_ssize_t size = PyBytes_GET_SIZE(code->co_lnotab);
    int line = code->co_firstlineno;
    intptr_t start = 0;

    for (Py_ssize_t i = 0; i + 1 < size; i += 2) {
        start += table[i];
        if (start > offset)
            break;
        line += (int8_t)table[i + 1];
    }
    return line < 0 ? 0 : (uint32_t)line;
}

#endif
