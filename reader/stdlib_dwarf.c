/* SPDX-License-Identifier: MIT */
/*
 * The structs of tracemalloc as the compiler laid them out, member by member, against the rows of stdlib_layout.c.  They are
 * all in the compilation unit of _tracemalloc.c (3.13 and later: tracemalloc.c), or in what it imports (dwz moves what
 * several units have in common into partial units).
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdio.h>

#include "stdlib_symbols.h"

#define MAX_DEPTH 8
#define MAX_DIES 200000 /* looked at; the unit has about 5,000 */

enum expected {
    IN_TABLE, /* u8 in struct tm_stdlib_table_layout */
    IN_TEXT,  /* u8 in struct tm_stdlib_text_layout */
    IN_STATE, /* i16 in struct tm_stdlib_state_layout, relative to `traces` */
    NUMBER,   /* it is */
};

struct row {
    const char *type;
    const char *member; /* NULL: its size */
    const char *also;   /* the member's name in 3.8 */
    enum expected expected;
    uint16_t at;
};

#define TABLE(type, member, also, field)                                                                               \
    {                                                                                                                  \
        type, member, also, IN_TABLE, offsetof(struct tm_stdlib_table_layout, field)                                   \
    }
#define TEXT(type, member, field)                                                                                      \
    {                                                                                                                  \
        type, member, NULL, IN_TEXT, offsetof(struct tm_stdlib_text_layout, field)                                     \
    }
#define STATE(member, field)                                                                                           \
    {                                                                                                                  \
        "_tracemalloc_runtime_state", member, NULL, IN_STATE, offsetof(struct tm_stdlib_state_layout, field)           \
    }

static const struct row rows[] = {
    TABLE("_Py_hashtable_t", NULL, NULL, size),
    TABLE("_Py_hashtable_t", "nentries", "entries", nentries),
    TABLE("_Py_hashtable_t", "nbuckets", "num_buckets", nbuckets),
    TABLE("_Py_hashtable_t", "buckets", NULL, buckets),
    TABLE("_Py_hashtable_t", "get_entry_func", NULL, get_entry),
    TABLE("_Py_hashtable_t", "hash_func", NULL, hash),
    TABLE("_Py_hashtable_t", "compare_func", NULL, compare),
    TABLE("_Py_hashtable_t", "key_destroy_func", NULL, key_destroy),
    TABLE("_Py_hashtable_t", "value_destroy_func", NULL, value_destroy),
    TABLE("_Py_hashtable_t", "alloc", NULL, allocate),
    TABLE("_Py_hashtable_t", "key_size", NULL, key_size),
    TABLE("_Py_hashtable_t", "data_size", NULL, data_size),
    TABLE("_Py_hashtable_entry_t", NULL, NULL, entry_size),
    TABLE("_Py_hashtable_entry_t", "key_hash", NULL, entry_hash),
    TABLE("_Py_hashtable_entry_t", "value", NULL, entry_value),
    {"trace_t", NULL, NULL, NUMBER, TM_STDLIB_TRACE},
    {"trace_t", "size", NULL, NUMBER, 0},
    {"trace_t", "traceback", NULL, NUMBER, 8},
    TABLE("traceback_t", "nframe", NULL, nframe),
    TABLE("traceback_t", "total_nframe", NULL, total_nframe),
    TABLE("traceback_t", "frames", NULL, first_frame),
    {"frame_t", NULL, NULL, NUMBER, TM_STDLIB_FRAME},
    {"frame_t", "filename", NULL, NUMBER, 0},
    {"frame_t", "lineno", NULL, NUMBER, 8},
    STATE("config", config),
    STATE("allocators", allocators),
    STATE("tables_lock", lock_byte),
    STATE("traced_memory", traced),
    STATE("domains", domains),
    TEXT("_object", "ob_type", type),
    TEXT("_typeobject", "tp_flags", type_flags),
    TEXT("PyASCIIObject", NULL, ascii_data),
    TEXT("PyASCIIObject", "length", length),
    TEXT("PyASCIIObject", "state", state),
    TEXT("PyCompactUnicodeObject", NULL, compact_data),
    TEXT("PyUnicodeObject", "data", pointer),
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct reader {
    const struct tm_stdlib_family *family;
    struct tm_stdlib_dwarf *found;
    Dwarf_Die types[ROWS]; /* of each row: tag and address once it was found */
    bool has_type[ROWS];
    Dwarf_Die runtime; /* struct pyruntimestate */
    bool has_runtime;
    unsigned left; /* DIEs that may still be looked at */
};

/* ---- members -------------------------------------------------------------------------------------------------------- */

/* Offset of a member; of those of nameless members, too. */
static bool member_of(Dwarf_Die *type, const char *name, int depth, uint64_t *ret)
{
    Dwarf_Die child, inner;
    Dwarf_Attribute attribute;
    if (!name || depth > MAX_DEPTH || dwarf_child(type, &child) != 0)
        return false;
    do {
        Dwarf_Word offset = 0;
        const char *own = dwarf_diename(&child);
        if (dwarf_tag(&child) != DW_TAG_member)
            continue;
        if (dwarf_attr(&child, DW_AT_data_member_location, &attribute) && dwarf_formudata(&attribute, &offset) != 0)
            continue;
        *ret = offset;
        if (own && !strcmp(own, name))
            return true;
        if (!own && dwarf_attr(&child, DW_AT_type, &attribute) && dwarf_formref_die(&attribute, &inner) &&
            member_of(&inner, name, depth + 1, ret)) {
            *ret += offset;
            return true;
        }
    } while (dwarf_siblingof(&child, &child) == 0);
    return false;
}

/* What a row of the layout says; false: it has no such member. */
static bool expected_of(const struct tm_stdlib_family *family, const struct row *row, int64_t *ret)
{
    int16_t relative;
    switch (row->expected) {
    case IN_TABLE:
        *ret = ((const uint8_t *)family->table)[row->at];
        return *ret != TM_STDLIB_NONE;
    case IN_TEXT:
        *ret = ((const uint8_t *)family->text)[row->at];
        return true;
    case IN_STATE:
        memcpy(&relative, (const char *)family->state + row->at, sizeof(relative));
        *ret = relative;
        return family->state->fixed && relative;
    case NUMBER:
        break;
    }
    *ret = row->at;
    return true;
}

static void compare(struct reader *reader, size_t number)
{
    const struct row *row = &rows[number];
    Dwarf_Die *type = &reader->types[number];
    struct tm_stdlib_dwarf *found = reader->found;
    int64_t expected;
    uint64_t offset = 0, traces = 0;
    Dwarf_Word size;
    if (!reader->has_type[number] || !expected_of(reader->family, row, &expected) || found->contradiction[0])
        return;
    bool there = row->member ? member_of(type, row->member, 0, &offset) || member_of(type, row->also, 0, &offset)
                             : dwarf_aggregate_size(type, &size) == 0;
    if (there && row->expected == IN_STATE)
        there = member_of(type, "traces", 0, &traces);
    int64_t actual = row->member ? (int64_t)(offset - traces) : (int64_t)size;
    const char *dot = row->member ? "." : "", *member = row->member ? row->member : "";
    const char *what = row->member ? "at" : "of size";
    if (!there)
        snprintf(found->contradiction, sizeof(found->contradiction), "it has no %s%s%s", row->type, dot, member);
    else if (actual != expected)
        snprintf(found->contradiction, sizeof(found->contradiction),
                 "%s%s%s is %s %lld, where the tables of CPython %s are read as if it were %lld", row->type, dot,
                 member, what, (long long)actual, reader->family->name, (long long)expected);
    else
        found->agree++;
}

/* ---- the unit of tracemalloc ---------------------------------------------------------------------------------------- */

static void note_variable(struct reader *reader, Dwarf_Die *die)
{
    Dwarf_Attribute attribute;
    Dwarf_Op *operations;
    size_t count;
    const char *name = dwarf_diename(die);
    if (name && !strcmp(name, "tracemalloc_traces") && dwarf_attr_integrate(die, DW_AT_location, &attribute) &&
        dwarf_getlocation(&attribute, &operations, &count) == 0 && count == 1 && operations[0].atom == DW_OP_addr)
        reader->found->slot = operations[0].number;
}

static void note_type(struct reader *reader, Dwarf_Die *die)
{
    const char *name = dwarf_diename(die);
    Dwarf_Die type;
    Dwarf_Word size;
    if (!name || dwarf_peel_type(die, &type) != 0 || dwarf_tag(&type) != DW_TAG_structure_type ||
        dwarf_aggregate_size(&type, &size) != 0) /* a declaration only */
        return;
    for (size_t i = 0; i < ROWS; i++) {
        if (!reader->has_type[i] && !strcmp(name, rows[i].type)) {
            reader->types[i] = type;
            reader->has_type[i] = true;
        }
    }
    if (!strcmp(name, "pyruntimestate")) {
        reader->runtime = type;
        reader->has_runtime = true;
    }
}

static void read_unit(struct reader *reader, Dwarf_Die *unit, int depth)
{
    Dwarf_Die child, imported;
    Dwarf_Attribute attribute;
    if (depth > MAX_DEPTH || dwarf_child(unit, &child) != 0)
        return;
    do {
        switch (dwarf_tag(&child)) {
        case DW_TAG_variable:
            note_variable(reader, &child);
            break;
        case DW_TAG_typedef:
        case DW_TAG_structure_type:
            note_type(reader, &child);
            break;
        case DW_TAG_imported_unit:
            if (dwarf_attr(&child, DW_AT_import, &attribute) && dwarf_formref_die(&attribute, &imported))
                read_unit(reader, &imported, depth + 1);
            break;
        default:
            break;
        }
    } while (reader->left && reader->left-- && dwarf_siblingof(&child, &child) == 0);
}

static bool is_tracemalloc(Dwarf_Die *unit)
{
    const char *name = dwarf_tag(unit) == DW_TAG_compile_unit ? dwarf_diename(unit) : NULL;
    const char *slash = name ? strrchr(name, '/') : NULL;
    const char *file = slash ? slash + 1 : name;
    return file && (!strcmp(file, "_tracemalloc.c") || !strcmp(file, "tracemalloc.c"));
}

/* 3.12 and later: _PyRuntime.tracemalloc.traces */
static void find_slot(struct reader *reader, uint64_t runtime)
{
    uint64_t state, traces;
    for (size_t i = 0; i < ROWS; i++) {
        if (rows[i].expected != IN_STATE || !reader->has_type[i])
            continue;
        if (reader->has_runtime && runtime && member_of(&reader->runtime, "tracemalloc", 0, &state) &&
            member_of(&reader->types[i], "traces", 0, &traces))
            reader->found->slot = runtime + state + traces;
        return;
    }
}

bool tm_stdlib_dwarf_read(Elf *elf, const struct tm_stdlib_family *family, uint64_t runtime,
                          struct tm_stdlib_dwarf *ret)
{
    struct reader reader = {.family = family, .found = ret, .left = MAX_DIES};
    *ret = (struct tm_stdlib_dwarf){0};
    Dwarf *dwarf = dwarf_begin_elf(elf, DWARF_C_READ, NULL);
    Dwarf_CU *unit = NULL;
    Dwarf_Die die;
    while (dwarf && dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &die, NULL) == 0) {
        /* 3.13 and later have both names: the module, and the tables, which are what is looked for. */
        if (is_tracemalloc(&die))
            read_unit(&reader, &die, 0);
    }
    for (size_t i = 0; i < ROWS; i++)
        compare(&reader, i);
    if (family->state->fixed)
        find_slot(&reader, runtime);
    dwarf_end(dwarf);
    return ret->agree || ret->contradiction[0];
}
