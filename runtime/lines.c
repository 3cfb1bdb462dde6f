/* SPDX-License-Identifier: MIT */
/*
 * Line tables: Objects/lnotab_notes.txt (3.8, 3.9), Objects/lnotab_notes.txt and PEP 626 (3.10), Objects/locations.md
 * (3.11+; later InternalDocs/code_objects.md).  Bounded by the table's own length.
 *
 * Tables can only be read from their beginning.  But a program mostly goes forwards, so each walk begins where the last one
 * through that table ended.  Backwards, a function of a hundred thousand lines would take a walk through half of its table for
 * each of them, so in big tables marks are left along the way, from which later walks begin.
 */
#include <string.h>

#include "lines.h"
#include "runtime.h"

/* Between two entries of a table. */
struct place {
    int32_t at;  /* the next one */
    int32_t end; /* the one before covers the offsets below this, from the end of its own predecessor */
    int32_t line;
};

struct table {
    const uint8_t *bytes;
    int32_t size;
};

uint64_t tm_lines_work;

/*
 * Of each version: next_end() tells where the next entry ends; false: there is none.  pass() passes over it.  line_of() is its
 * line, 0 or less where it has none.
 */
#if PY_VERSION_HEX >= 0x030B0000

#define LINE_TABLE co_linetable
#define UNITS(offset) (offset)

/* First byte of an entry: 1, kind: 4 bits, code units - 1: 3 bits. */
#define FIRST_OF_KIND(kind) (128 | (kind) << 3)
enum {
    KIND_NO_COLUMNS = 13,
    KIND_LONG = 14,
    KIND_NONE = 15,
};

/* Of entries of the other kinds: their bytes, and how many lines they go on. */
static const uint8_t bytes_of[] = {2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, [KIND_NONE] = 1};
static const uint8_t lines_of[] = {[11] = 1, [12] = 2, [KIND_NONE] = 0};

/* A first byte, a signed number, and columns, which end before the next first byte. */
static TM_ALWAYS_INLINE void pass_far(struct table table, struct place *place)
{
    unsigned value = 0;
    unsigned shift = 0;
    while (++place->at < table.size && shift < 32) {
        uint8_t byte = table.bytes[place->at];
        value |= (unsigned)(byte & 63) << shift;
        shift += 6;
        if (!(byte & 64))
            break;
    }
    place->line += value & 1 ? -(int32_t)(value >> 1) : (int32_t)(value >> 1);
    while (++place->at < table.size && !(table.bytes[place->at] & 128))
        ;
}

static TM_ALWAYS_INLINE bool next_end(struct table table, const struct place *place, int32_t *end)
{
    if (place->at >= table.size)
        return false;
    *end = place->end + (table.bytes[place->at] & 7) + 1;
    return true;
}

static TM_ALWAYS_INLINE void pass(struct table table, struct place *place, int32_t end)
{
    uint8_t first = table.bytes[place->at];
    int kind = first >> 3 & 15;
    if (TM_UNLIKELY(first >= FIRST_OF_KIND(KIND_NO_COLUMNS) && first < FIRST_OF_KIND(KIND_NONE))) {
        pass_far(table, place);
    } else { /* which of them cannot be foreseen, so there are no branches for it */
        place->at += bytes_of[kind];
        place->line += lines_of[kind];
    }
    place->end = end;
}

static int32_t line_of(struct table table, struct place place)
{
    if (table.bytes[place.at] >= FIRST_OF_KIND(KIND_NONE))
        return 0;
    pass(table, &place, 0);
    return place.line;
}

#elif PY_VERSION_HEX >= 0x030A0000

#define LINE_TABLE co_linetable
#define UNITS(offset) ((offset) * (intptr_t)sizeof(_Py_CODEUNIT))
#define NO_LINE -128

/* Pairs {bytes of bytecode, line delta}. */
static TM_ALWAYS_INLINE bool next_end(struct table table, const struct place *place, int32_t *end)
{
    if (place->at + 1 >= table.size)
        return false;
    *end = place->end + table.bytes[place->at];
    return true;
}

static TM_ALWAYS_INLINE void pass(struct table table, struct place *place, int32_t end)
{
    int8_t delta = (int8_t)table.bytes[place->at + 1];
    *place = (struct place){place->at + 2, end, place->line + (delta == NO_LINE ? 0 : delta)};
}

static int32_t line_of(struct table table, struct place place)
{
    int8_t delta = (int8_t)table.bytes[place.at + 1];
    return delta == NO_LINE ? 0 : place.line + delta;
}

#else

#define LINE_TABLE co_lnotab
#define UNITS(offset) (offset)

/* Pairs {bytes of bytecode, signed line delta}: the delta counts behind those bytes, and the last line to the end. */
static TM_ALWAYS_INLINE bool next_end(struct table table, const struct place *place, int32_t *end)
{
    *end = place->at + 1 < table.size ? place->end + table.bytes[place->at] : INT32_MAX;
    return true;
}

static TM_ALWAYS_INLINE void pass(struct table table, struct place *place, int32_t end)
{
    *place = (struct place){place->at + 2, end, place->line + (int8_t)table.bytes[place->at + 1]};
}

static int32_t line_of(struct table table, struct place place)
{
    (void)table;
    return place.line;
}

#endif

/* ---- places that are remembered ------------------------------------------------------------------------------------------ */

/* Before the last entry that was asked for, of many tables. */
#define RECENT_BITS 8
static struct recent {
    uintptr_t code; /* 0: nobody's */
    struct place place;
} recent[1 << RECENT_BITS];

static struct recent *recent_of(uintptr_t code)
{
    return &recent[tm_spread((uint32_t)(code >> 4), RECENT_BITS)];
}

/* All over some big ones. */
#define WORTH_MARKS 1024 /* bytes of a table */
#define MARKS 4096
static struct marks {
    uintptr_t code; /* 0: nobody's */
    uint32_t count;
    int32_t apart; /* offsets from one mark to the next */
    struct place places[MARKS];
} marked[16];
#define MARKED (sizeof(marked) / sizeof(marked[0]))

static struct marks *marks_of(uintptr_t code)
{
    static unsigned next;
    for (unsigned i = 0; i < MARKED; i++)
        if (marked[i].code == code)
            return &marked[i];
    struct marks *marks = &marked[next++ % MARKED];
    marks->code = code;
    marks->count = 0;
    marks->apart = 64;
    return marks;
}

void tm_lines_forget(uintptr_t code)
{
    if (recent_of(code)->code == code)
        recent_of(code)->code = 0;
    for (unsigned i = 0; i < MARKED; i++)
        if (marked[i].code == code)
            marked[i].code = 0;
}

void tm_lines_forget_all(void)
{
    memset(recent, 0, sizeof(recent));
    for (unsigned i = 0; i < MARKED; i++)
        marked[i].code = 0;
}

/* How many marks there are up to an offset. */
static uint32_t marks_up_to(const struct marks *marks, intptr_t offset)
{
    uint32_t low = 0, high = marks->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (marks->places[middle].end <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where the next mark is due. */
static int32_t next_mark(const struct marks *marks)
{
    return (marks->count ? marks->places[marks->count - 1].end : 0) + marks->apart;
}

/* Behind all others. */
static void leave_mark(struct marks *marks, struct place place)
{
    if (marks->count == MARKS) { /* every second one goes */
        for (uint32_t i = 0; i < MARKS / 2; i++)
            marks->places[i] = marks->places[2 * i + 1];
        marks->count = MARKS / 2;
        marks->apart *= 2;
    }
    marks->places[marks->count++] = place;
}

/* ---- a line ---------------------------------------------------------------------------------------------------------------- */

uint32_t tm_code_line(const PyCodeObject *code, intptr_t offset, bool lasting)
{
    if (offset < 0)
        return code->co_firstlineno < 0 ? 0 : (uint32_t)code->co_firstlineno;
    int32_t wanted = UNITS(offset) < INT32_MAX ? (int32_t)UNITS(offset) : INT32_MAX - 1;
    const PyObject *bytes = code->LINE_TABLE;
    struct table table = {(const uint8_t *)((const PyBytesObject *)bytes)->ob_sval,
                          (int32_t)((const PyVarObject *)bytes)->ob_size};
    struct recent *recently = recent_of((uintptr_t)code);
    struct marks *marks = lasting && table.size >= WORTH_MARKS ? marks_of((uintptr_t)code) : NULL;
    uint32_t passed = marks ? marks_up_to(marks, wanted) : 0;

    struct place place = passed ? marks->places[passed - 1] : (struct place){.line = code->co_firstlineno};
    bool first_marks = marks && !marks->count; /* they are left from the beginning of the table on */
    if (lasting && !first_marks && recently->code == (uintptr_t)code && recently->place.end <= wanted &&
        recently->place.end >= place.end)
        place = recently->place;

    struct marks *new_ground = marks && passed == marks->count ? marks : NULL;
    int32_t due = new_ground ? next_mark(new_ground) : INT32_MAX;
    uint64_t steps = 0;
    int32_t end;
    bool found;
    while ((found = next_end(table, &place, &end)) && end <= wanted) {
        pass(table, &place, end);
        steps++;
        if (TM_UNLIKELY(end >= due)) {
            leave_mark(new_ground, place);
            due = next_mark(new_ground);
        }
    }
    tm_lines_work += steps;
    if (lasting)
        *recently = (struct recent){(uintptr_t)code, place};
    int32_t line = found ? line_of(table, place) : 0;
    return line > 0 ? (uint32_t)line : 0;
}
