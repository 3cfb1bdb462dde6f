/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include <link.h>
#include <string.h>

#include "tstate.h"

void *const tm_tstate_nowhere;

#if PY_VERSION_HEX < 0x030C0000
#include <internal/pycore_pystate.h>

static void *const *find_place(const PyThreadState *tstate)
{
    (void)tstate;
    return (void *const *)&_PyRuntime.gilstate.tstate_current._value;
}

#elif defined(__x86_64__)

/* As far below the thread pointer as any thread may be read: its static TLS, and then its own stack. */
#define NEAR 4096

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

/* The distance that the accessor loads from, where its code is that load and nothing else: "mov %fs:DISTANCE, %rax; ret",
 * maybe after "endbr64".  So it is where the executable has libpython in it.  0: other code. */
static intptr_t distance_in_accessor(void)
{
    static const unsigned char branch_target[] = {0xf3, 0x0f, 0x1e, 0xfa};
    static const unsigned char load[] = {0x64, 0x48, 0x8b, 0x04, 0x25};
    const unsigned char *code = (const unsigned char *)(uintptr_t)TM_TSTATE_ACCESSOR;
    int32_t distance;

    if (!memcmp(code, branch_target, sizeof(branch_target)))
        code += sizeof(branch_target);
    if (memcmp(code, load, sizeof(load)) || code[sizeof(load) + sizeof(distance)] != 0xc3)
        return 0;
    memcpy(&distance, code + sizeof(load), sizeof(distance));
    return distance;
}

static void *const *find_place(const PyThreadState *tstate)
{
    static bool searched;
    static intptr_t distance; /* from the thread pointer; 0: not known */

    if (!__atomic_exchange_n(&searched, true, __ATOMIC_RELAXED)) {
        struct search search = {.code = (uintptr_t)PyThreadState_Get, .pointer = thread_pointer(), .tstate = tstate};
        dl_iterate_phdr(search_module, &search);
        intptr_t found = search.matches == 1 ? (intptr_t)(search.found - search.pointer) : distance_in_accessor();
        __atomic_store_n(&distance, search.matches ? found : 0, __ATOMIC_RELEASE);
    }
    intptr_t known = __atomic_load_n(&distance, __ATOMIC_ACQUIRE);
    return known ? (void *const *)(thread_pointer() + (uintptr_t)known) : &tm_tstate_nowhere;
}

#else

static void *const *find_place(const PyThreadState *tstate)
{
    (void)tstate;
    return &tm_tstate_nowhere;
}

#endif

PyThreadState *tm_tstate_ask(struct tm_thread *thread)
{
    PyThreadState *tstate = tm_tstate_attached();
    if (tstate && thread->tstate_place == &tm_tstate_nowhere) {
        void *const *place = find_place(tstate);
        if (*place == tstate)
            thread->tstate_place = place;
    }
    return tstate;
}
