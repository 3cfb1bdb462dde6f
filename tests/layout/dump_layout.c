/* SPDX-License-Identifier: MIT */
/*
 * Prints the structs of runtime/layout.h as they were compiled: reads this program's own DWARF, one line for each field,
 *     struct offset size type field
 * and one for each struct, `struct 0 size - -`.
 */
#include "runtime/layout.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One of each, so that the compiler describes them. */
struct {
    struct tm_chunk chunk;
    struct tm_table table;
    struct tm_stack stack;
    struct tm_location location;
    struct tm_string string;
    struct tm_totals totals;
    struct tm_shard shard;
    struct tm_foreign foreign;
    struct tm_state state;
    struct tm_root root;
} tm_every_struct;

static void die(const char *what)
{
    fprintf(stderr, "dump_layout: %s: %s\n", what, dwarf_errmsg(-1));
    exit(2);
}

static Dwarf_Word number(Dwarf_Die *die_, unsigned name)
{
    Dwarf_Attribute attribute;
    Dwarf_Word value = 0;
    if (dwarf_attr(die_, name, &attribute) == NULL || dwarf_formudata(&attribute, &value) != 0)
        die("an attribute is missing");
    return value;
}

/* "uint64_t", "uint64_t[10]", "struct tm_shard[16]" */
static void print_type(Dwarf_Die *type)
{
    switch (dwarf_tag(type)) {
    case DW_TAG_array_type: {
        Dwarf_Attribute attribute;
        Dwarf_Die element, range;
        if (dwarf_formref_die(dwarf_attr(type, DW_AT_type, &attribute), &element) == NULL ||
            dwarf_child(type, &range) != 0)
            die("an array has no element");
        print_type(&element);
        printf("[%llu]", (unsigned long long)number(&range, DW_AT_upper_bound) + 1);
        break;
    }
    case DW_TAG_structure_type:
        printf("struct_%s", dwarf_diename(type));
        break;
    default:
        printf("%s", dwarf_diename(type));
    }
}

static void print_struct(Dwarf_Die *structure)
{
    const char *name = dwarf_diename(structure);
    Dwarf_Die field;
    printf("%s 0 %d - -\n", name, dwarf_bytesize(structure));
    if (dwarf_child(structure, &field) != 0)
        return;
    do {
        Dwarf_Attribute attribute;
        Dwarf_Die type;
        Dwarf_Word size = 0;
        if (dwarf_tag(&field) != DW_TAG_member)
            continue;
        if (dwarf_formref_die(dwarf_attr(&field, DW_AT_type, &attribute), &type) == NULL ||
            dwarf_aggregate_size(&type, &size) != 0)
            die("a field has no type");
        printf("%s %llu %llu ", name, (unsigned long long)number(&field, DW_AT_data_member_location),
               (unsigned long long)size);
        print_type(&type);
        printf(" %s\n", dwarf_diename(&field));
    } while (dwarf_siblingof(&field, &field) == 0);
}

int main(void)
{
    int fd = open("/proc/self/exe", O_RDONLY);
    Dwarf *dwarf = dwarf_begin(fd, DWARF_C_READ);
    Dwarf_CU *unit = NULL;
    Dwarf_Die unit_die, child;
    if (dwarf == NULL)
        die("cannot read this program's DWARF");
    while (dwarf_get_units(dwarf, unit, &unit, NULL, NULL, &unit_die, NULL) == 0) {
        if (dwarf_child(&unit_die, &child) != 0)
            continue;
        do {
            const char *name = dwarf_diename(&child);
            if (dwarf_tag(&child) == DW_TAG_structure_type && name != NULL && strncmp(name, "tm_", 3) == 0)
                print_struct(&child);
        } while (dwarf_siblingof(&child, &child) == 0);
    }
    dwarf_end(dwarf);
    close(fd);
    return 0;
}
