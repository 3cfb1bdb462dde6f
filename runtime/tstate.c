/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include <link.h>

#include "tstate.h"

#ifdef TM_FIND_TSTATE

/* As far below the thread pointer as any thread may be read: its static TLS, and then its own stack. */
#define NEAR 4096

intptr_t tm_tstate_offset;

struct search {
    uintptr_t code;    /* some function of libpython */
    uintptr_t pointer; /* the thread pointer */
    const PyThreadState *tstate;
    uintptr_t found;
    int matches;
};

static uintptr_t thread_pointer(void)
{
    uintptr_t pointer;
    __asm__("movq %%fs:0, %0" : "=r"(pointer)); /* System V ABI for x86-64, TLS variant II */
    return pointer;
}

/* Looks through the thread-local variables of the module that the accessor belongs to. */
static int search_module(struct dl_phdr_info *module, size_t size, void *argument)
{
    struct search *search = argument;
    uintptr_t tls_bytes = 0;
    bool ours = false;
    (void)size;

    for (int i = 0; i < module->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &module->dlpi_phdr[i];
        uintptr_t start = module->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && search->code >= start && search->code - start < segment->p_memsz)
            ours = true;
        if (segment->p_type == PT_TLS)
            tls_bytes = segment->p_memsz;
    }
    if (!ours)
        return 0;
    uintptr_t block = (uintptr_t)module->dlpi_tls_data;
    if (block < search->pointer - NEAR || block + tls_bytes > search->pointer)
        return 1; /* none, or far away: libpython was loaded late, each thread has it elsewhere */
    for (uintptr_t at = block; at + sizeof(void *) <= block + tls_bytes; at += sizeof(void *)) {
        if (*(PyThreadState **)at == search->tstate) {
            search->found = at;
            search->matches++;
        }
    }
    return 1;
}

PyThreadState *tm_tstate_learn(struct tm_thread *thread)
{
    static bool searched;
    PyThreadState *tstate = tm_tstate_attached();

    if (!tstate)
        return NULL; /* nothing to compare with */
    if (!searched && !__atomic_exchange_n(&searched, true, __ATOMIC_RELAXED)) {
        struct search search = {.code = (uintptr_t)PyThreadState_Get, .pointer = thread_pointer(), .tstate = tstate};
        dl_iterate_phdr(search_module, &search);
        if (search.matches == 1)
            __atomic_store_n(&tm_tstate_offset, (intptr_t)(search.found - search.pointer), __ATOMIC_RELEASE);
    }
    intptr_t offset = __atomic_load_n(&tm_tstate_offset, __ATOMIC_ACQUIRE);
    if (offset && *(PyThreadState **)(thread_pointer() + offset) == tstate)
        thread->trusts_tstate_offset = true;
    return tstate;
}

#endif
