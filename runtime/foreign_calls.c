/* SPDX-License-Identifier: MIT */
/*
 * PyTraceMalloc_Track and PyTraceMalloc_Untrack are how NumPy and others tell of memory that no allocator hook sees; they
 * lead to CPython's own tracemalloc, not to us.  So the calls are turned here, in the global offset table of each
 * module that makes them, but for CPython itself and us: one store of a pointer.  CPython's own function is still called.
 *
 * Modules are loaded at any time.  dl_iterate_phdr(3) counts the loads, and the slow path looks at the counter whenever a
 * line of code is seen for the first time: a module that was just imported has just run new code.
 */
#define _GNU_SOURCE 1
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include "frames.h"
#include "index.h"

#if defined(__x86_64__)
#define JUMP_SLOT R_X86_64_JUMP_SLOT
#define GLOBAL_DATA R_X86_64_GLOB_DAT
#elif defined(__aarch64__)
#define JUMP_SLOT R_AARCH64_JUMP_SLOT
#define GLOBAL_DATA R_AARCH64_GLOB_DAT
#endif

static int track(unsigned int domain, uintptr_t address, size_t size)
{
    int result = PyTraceMalloc_Track(domain, address, size);
    if (!tm_is_tracing())
        return result;
    uint32_t stack = tm_current_stack();
    if (stack && tm_foreign_track(domain, address, size, stack))
        return 0;
    tm_lost();
    return result;
}

static int untrack(unsigned int domain, uintptr_t address)
{
    int result = PyTraceMalloc_Untrack(domain, address);
    if (!tm_is_tracing())
        return result;
    tm_foreign_untrack(domain, address);
    return 0;
}

struct module {
    uintptr_t base;
    const char *strings;
    const ElfW(Sym) * symbols;
    const ElfW(Rela) * relocations[2];
    size_t counts[2];
    uintptr_t relro_start;
    uintptr_t relro_end;
};

/* Dynamic entries hold addresses that the linker has relocated (glibc), or not (vDSO and others). */
static uintptr_t absolute(uintptr_t base, uintptr_t value)
{
    return value < base ? base + value : value;
}

static bool describe(const struct dl_phdr_info *info, struct module *module)
{
    const ElfW(Dyn) *dynamic = NULL;
    *module = (struct module){.base = info->dlpi_addr};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_DYNAMIC)
            dynamic = (const ElfW(Dyn) *)(info->dlpi_addr + segment->p_vaddr);
        if (segment->p_type == PT_GNU_RELRO) {
            module->relro_start = (info->dlpi_addr + segment->p_vaddr) & ~(uintptr_t)(TM_PAGE - 1);
            module->relro_end = tm_round_to_page(info->dlpi_addr + segment->p_vaddr + segment->p_memsz);
        }
    }
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        uintptr_t address = absolute(info->dlpi_addr, dynamic->d_un.d_ptr);
        switch (dynamic->d_tag) {
        case DT_STRTAB:
            module->strings = (const char *)address;
            break;
        case DT_SYMTAB:
            module->symbols = (const ElfW(Sym) *)address;
            break;
        case DT_JMPREL:
            module->relocations[0] = (const ElfW(Rela) *)address;
            break;
        case DT_PLTRELSZ:
            module->counts[0] = dynamic->d_un.d_val / sizeof(ElfW(Rela));
            break;
        case DT_RELA:
            module->relocations[1] = (const ElfW(Rela) *)address;
            break;
        case DT_RELASZ:
            module->counts[1] = dynamic->d_un.d_val / sizeof(ElfW(Rela));
            break;
        case DT_PLTREL:
            if (dynamic->d_un.d_val != DT_RELA)
                return false;
            break;
        default:
            break;
        }
    }
    return module->strings && module->symbols;
}

static void redirect(const struct module *module, uintptr_t entry, void *target)
{
    bool read_only = entry >= module->relro_start && entry < module->relro_end;
    void *page = (void *)(entry & ~(uintptr_t)(TM_PAGE - 1));
    if (read_only && mprotect(page, TM_PAGE, PROT_READ | PROT_WRITE))
        return;
    __atomic_store_n((void **)entry, target, __ATOMIC_RELEASE);
    if (read_only)
        mprotect(page, TM_PAGE, PROT_READ);
}

static void redirect_module(const struct module *module)
{
    for (int table = 0; table < 2; table++) {
        for (size_t i = 0; module->relocations[table] && i < module->counts[table]; i++) {
            const ElfW(Rela) *relocation = &module->relocations[table][i];
            unsigned type = (unsigned)ELF64_R_TYPE(relocation->r_info);
            if (type != JUMP_SLOT && type != GLOBAL_DATA)
                continue;
            const char *name = module->strings + module->symbols[ELF64_R_SYM(relocation->r_info)].st_name;
            if (strncmp(name, "PyTraceMalloc_", 14) != 0)
                continue;
            uintptr_t entry = module->base + relocation->r_offset;
            if (!strcmp(name + 14, "Track"))
                redirect(module, entry, (void *)track);
            else if (!strcmp(name + 14, "Untrack"))
                redirect(module, entry, (void *)untrack);
        }
    }
}

/* Modules that have been looked at, by their program headers; only under `under_way`. */
static struct tm_index known;

static int copy_counts(struct dl_phdr_info *info, size_t size, void *counts)
{
    (void)size;
    *(struct dl_phdr_info *)counts = *info;
    return 1;
}

static bool contains(const struct dl_phdr_info *info, uintptr_t address)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && address - (info->dlpi_addr + segment->p_vaddr) < segment->p_memsz)
            return true;
    }
    return false;
}

static int visit_module(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct module module;
    (void)size, (void)argument;
    if (tm_index_find(&known, (uintptr_t)info->dlpi_phdr, 0))
        return 0;
    tm_index_add(&known, (uintptr_t)info->dlpi_phdr, 0, 1);
    /* CPython may be the program or a library of it. */
    bool cpython_or_us = contains(info, (uintptr_t)PyTraceMalloc_Track) || contains(info, (uintptr_t)track);
    if (!cpython_or_us && describe(info, &module))
        redirect_module(&module);
    return 0;
}

void tm_foreign_calls_redirect(void)
{
    static unsigned long long loads, unloads;
    static uint32_t under_way;
    struct dl_phdr_info now = {0};
    dl_iterate_phdr(copy_counts, &now);
    if (now.dlpi_adds == __atomic_load_n(&loads, __ATOMIC_RELAXED) ||
        __atomic_exchange_n(&under_way, 1, __ATOMIC_ACQUIRE))
        return;
    if (known.table || tm_index_init(&known, 8)) { /* otherwise there is no memory: another time */
        if (now.dlpi_subs != unloads)
            tm_index_clear(&known); /* another module may lie where one has gone */
        unloads = now.dlpi_subs;
        dl_iterate_phdr(visit_module, NULL);
        __atomic_store_n(&loads, now.dlpi_adds, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&under_way, 0, __ATOMIC_RELEASE);
}
