/* SPDX-License-Identifier: MIT */
/*
 * Line tables: Objects/lnotab_notes.txt (3.8, 3.9), Objects/lnotab_notes.txt and PEP 626 (3.10), Objects/locations.md
 * (3.11+; later InternalDocs/code_objects.md).  Bounded by the table's own length.
 *
 * Tables can only be read from their beginning.  A function of a hundred thousand lines would take a walk through half of
 * its table for each of them, so for all but small tables marks are left along the way, from which later walks begin.
 */
#include "lines.h"

/* A walk through a table: the entry that was read last covers the offsets below `end`, from the end of the one before. */
struct walk {
    const uint8_t *table;
    int32_t size;
    int32_t at; /* next entry */
    int32_t end;
    int32_t line;
    uint32_t shown; /* `line`, or 0 where the entry has none */
};

uint64_t tm_lines_work;

#if PY_VERSION_HEX >= 0x030B0000

#define LINE_TABLE co_linetable
#define UNITS(offset) (offset)

/* First byte of an entry: 1, code: 4 bits, code units - 1: 3 bits. */
enum {
    CODE_ONE_LINE_0 = 10, /* below: one byte of columns, and the line of the entry before; these three: two bytes */
    CODE_ONE_LINE_2 = 12,
    CODE_NO_COLUMNS = 13,
    CODE_LONG = 14,
    CODE_NONE = 15,
};

static int read_signed_varint(struct walk *walk)
{
    unsigned value = 0;
    unsigned shift = 0;
    while (walk->at < walk->size && shift < 32) {
        uint8_t byte = walk->table[walk->at++];
        value |= (unsigned)(byte & 63) << shift;
        shift += 6;
        if (!(byte & 64))
            break;
    }
    return value & 1 ? -(int)(value >> 1) : (int)(value >> 1);
}

static bool step(struct walk *walk)
{
    if (walk->at >= walk->size)
        return false;
    uint8_t head = walk->table[walk->at++];
    int kind = head >> 3 & 15;
    walk->end += (head & 7) + 1;
    if (kind < CODE_ONE_LINE_0) {
        walk->at += 1;
    } else if (kind <= CODE_ONE_LINE_2) {
        walk->at += 2;
        walk->line += kind - CODE_ONE_LINE_0;
    } else if (kind <= CODE_LONG) {
        walk->line += read_signed_varint(walk);
        while (walk->at < walk->size && !(walk->table[walk->at] & 128)) /* columns; a first byte has the high bit */
            walk->at++;
    }
    walk->shown = kind == CODE_NONE || walk->line < 0 ? 0 : (uint32_t)walk->line;
    return true;
}

#elif PY_VERSION_HEX >= 0x030A0000

#define LINE_TABLE co_linetable
#define UNITS(offset) ((offset) * (intptr_t)sizeof(_Py_CODEUNIT))

/* Pairs {bytes of bytecode, line delta}; delta -128: no line. */
static bool step(struct walk *walk)
{
    if (walk->at + 1 >= walk->size)
        return false;
    int8_t delta = (int8_t)walk->table[walk->at + 1];
    walk->end += walk->table[walk->at];
    walk->at += 2;
    if (delta != -128)
        walk->line += delta;
    walk->shown = delta == -128 || walk->line < 0 ? 0 : (uint32_t)walk->line;
    return true;
}

#else

#define LINE_TABLE co_lnotab
#define UNITS(offset) (offset)

/* Pairs {bytes of bytecode, signed line delta}: the delta counts behind those bytes, and the last line to the end. */
static bool step(struct walk *walk)
{
    bool last = walk->at + 1 >= walk->size;
    walk->shown = walk->line < 0 ? 0 : (uint32_t)walk->line;
    if (walk->end == INT32_MAX)
        return false;
    walk->end = last ? INT32_MAX : walk->end + walk->table[walk->at];
    walk->line += last ? 0 : (int8_t)walk->table[walk->at + 1];
    walk->at += 2;
    return true;
}

#endif

/* ---- marks ------------------------------------------------------------------------------------------------------------ */

#define WORTH_MARKS 64 /* bytes of a table */
#define MARKS 4096
#define RECENT 4

struct mark {
    int32_t at;
    int32_t end;
    int32_t line;
};

/* Tables that were read lately. */
static struct marks {
    uintptr_t code; /* 0: nobody's */
    uint32_t count;
    uint32_t apart; /* entries between two marks */
    struct mark marks[MARKS];
} recent[RECENT];
static unsigned next_recent;

static struct marks *marks_of(const PyCodeObject *code)
{
    for (unsigned i = 0; i < RECENT; i++)
        if (recent[i].code == (uintptr_t)code)
            return &recent[i];
    struct marks *marks = &recent[next_recent++ % RECENT];
    marks->code = (uintptr_t)code;
    marks->count = 0;
    marks->apart = 8;
    return marks;
}

void tm_lines_forget(uintptr_t code)
{
    for (unsigned i = 0; i < RECENT; i++)
        if (recent[i].code == code)
            recent[i].code = 0;
}

void tm_lines_forget_all(void)
{
    for (unsigned i = 0; i < RECENT; i++)
        recent[i].code = 0;
}

/* To the last mark at or before the offset.  True: there is none behind it yet. */
static bool go_to_mark(struct walk *walk, const struct marks *marks, intptr_t offset)
{
    uint32_t low = 0, high = marks->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (marks->marks[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low) {
        walk->at = marks->marks[low - 1].at;
        walk->end = marks->marks[low - 1].end;
        walk->line = marks->marks[low - 1].line;
    }
    return low == marks->count;
}

static void leave_mark(struct marks *marks, const struct walk *walk)
{
    if (marks->count == MARKS) { /* every second one goes */
        for (uint32_t i = 0; i < MARKS / 2; i++)
            marks->marks[i] = marks->marks[2 * i + 1];
        marks->count = MARKS / 2;
        marks->apart *= 2;
    }
    marks->marks[marks->count++] = (struct mark){walk->at, walk->end, walk->line};
}

uint32_t tm_code_line(const PyCodeObject *code, intptr_t offset, bool lasting)
{
    if (offset < 0)
        return code->co_firstlineno < 0 ? 0 : (uint32_t)code->co_firstlineno;
    const PyObject *table = code->LINE_TABLE;
    struct walk walk = {
        .table = (const uint8_t *)((const PyBytesObject *)table)->ob_sval,
        .size = (int32_t)((const PyVarObject *)table)->ob_size,
        .line = code->co_firstlineno,
    };
    struct marks *marks = lasting && walk.size >= WORTH_MARKS ? marks_of(code) : NULL;
    bool new_ground = marks && go_to_mark(&walk, marks, UNITS(offset));
    for (uint32_t i = 1; step(&walk); i++) {
        tm_lines_work++;
        if (UNITS(offset) < walk.end)
            return walk.shown;
        if (new_ground && i == marks->apart) {
            leave_mark(marks, &walk);
            i = 0;
        }
    }
    return walk.end == INT32_MAX ? walk.shown : 0;
}
