/* SPDX-License-Identifier: MIT */
/*
 * Free-threaded CPython 3.14+: each thread runs a copy of the bytecode of its own (Objects/codeobject.c, _PyCode_GetTLBC).
 * An instruction's place in the code can be told only from where its copy begins, and that stands in an array, which is
 * replaced when it grows.  The old one is freed once all *attached* threads have moved on.
 *
 * A detached thread, whose raw allocations are traced as well, may come too late for that.  So it lets the kernel read, which
 * does not mind memory that is gone, and afterwards looks whether the array is still the code's.  A copy itself cannot go
 * while its thread runs it.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "frames.h"

#ifdef TM_COPIES_OF_BYTECODE

#define MOST_COPIES (1 << 20)
#define AT_ONCE 64
#define TRIES 4

static bool lies_in(uintptr_t instruction, uintptr_t first, uintptr_t bytes)
{
    return first && instruction >= first && instruction - first < bytes;
}

static const _PyCodeArray *copies_of(const PyCodeObject *code)
{
    return (const _PyCodeArray *)__atomic_load_n(&code->co_tlbc, __ATOMIC_ACQUIRE);
}

static uintptr_t search_attached(const _PyCodeArray *copies, uintptr_t instruction, uintptr_t bytes)
{
    for (Py_ssize_t i = 0; copies && i < copies->size; i++) {
        uintptr_t first = (uintptr_t)__atomic_load_n(&copies->entries[i], __ATOMIC_ACQUIRE);
        if (lies_in(instruction, first, bytes))
            return first;
    }
    return 0;
}

static bool read_by_kernel(const void *from, void *to, size_t bytes)
{
    struct iovec local = {to, bytes}, remote = {(void *)(uintptr_t)from, bytes};
    int saved_errno = errno;
    bool all = process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)bytes;
    errno = saved_errno;
    return all;
}

static uintptr_t search_detached(const _PyCodeArray *copies, uintptr_t instruction, uintptr_t bytes)
{
    Py_ssize_t size;
    uintptr_t entries[AT_ONCE];
    if (!copies || !read_by_kernel(&copies->size, &size, sizeof(size)) || size > MOST_COPIES)
        return 0;
    for (Py_ssize_t i = 0; i < size; i += AT_ONCE) {
        size_t count = (size_t)(size - i < AT_ONCE ? size - i : AT_ONCE);
        if (!read_by_kernel(&copies->entries[i], entries, count * sizeof(entries[0])))
            return 0;
        for (size_t j = 0; j < count; j++)
            if (lies_in(instruction, entries[j], bytes))
                return entries[j];
    }
    return 0;
}

uintptr_t tm_bytecode_with(const PyCodeObject *code, uintptr_t instruction)
{
    uintptr_t bytes = (uintptr_t)Py_SIZE(code) * sizeof(_Py_CODEUNIT);
    uintptr_t main_copy = (uintptr_t)code->co_code_adaptive;
    if (lies_in(instruction, main_copy, bytes))
        return main_copy;
    if (tm_tstate_attached())
        return search_attached(copies_of(code), instruction, bytes);
    for (int i = 0; i < TRIES; i++) {
        const _PyCodeArray *copies = copies_of(code);
        uintptr_t first = search_detached(copies, instruction, bytes);
        if (copies_of(code) == copies)
            return first;
    }
    return 0;
}

#endif
