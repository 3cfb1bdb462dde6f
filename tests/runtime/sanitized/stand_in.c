/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stand_in.h"

#ifdef STAND_IN_FITS

/* Everything is compiled with -Dmmap=stand_in_mmap: ThreadSanitizer ends a process that maps memory at low addresses, where
 * the table wants to be. */
void *stand_in_mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    if (flags & MAP_FIXED_NOREPLACE) {
        errno = EEXIST;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, file, offset);
}

/* ---- what libpython would export ----------------------------------------------------------------------------------- */

PyTypeObject PyCode_Type;
PyTypeObject PyBool_Type;
PyTypeObject PyLong_Type;
PyTypeObject PyUnicode_Type = {.tp_flags = Py_TPFLAGS_UNICODE_SUBCLASS};
PyTypeObject PyBytes_Type = {.tp_flags = Py_TPFLAGS_BYTES_SUBCLASS};

static __thread PyThreadState *of_this_thread;
static __thread PyThreadState *attached;
static char main_interpreter;
#ifndef Py_GIL_DISABLED
static pthread_mutex_t gil = PTHREAD_MUTEX_INITIALIZER;
#endif

PyThreadState *PyGILState_GetThisThreadState(void)
{
    return of_this_thread;
}

PyThreadState *PyThreadState_GetUnchecked(void)
{
    return attached;
}

PyThreadState *PyThreadState_Get(void)
{
    return attached;
}

PyInterpreterState *PyInterpreterState_Main(void)
{
    return (PyInterpreterState *)&main_interpreter;
}

int Py_IsFinalizing(void)
{
    return 0;
}

const char *Py_GetVersion(void)
{
    return "3.13.0 (a stand-in)";
}

int PyTraceMalloc_Track(unsigned int domain, uintptr_t address, size_t size)
{
    (void)domain, (void)address, (void)size;
    return 0;
}

int PyTraceMalloc_Untrack(unsigned int domain, uintptr_t address)
{
    (void)domain, (void)address;
    return 0;
}

/* ---- allocators ---------------------------------------------------------------------------------------------------------- */

static void *below_malloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void *below_calloc(void *ctx, size_t count, size_t size)
{
    (void)ctx;
    return calloc(count, size);
}

static void *below_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return realloc(block, size);
}

static void below_free(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

#define BELOW                                                                                                          \
    {                                                                                                                  \
        NULL, below_malloc, below_calloc, below_realloc, below_free                                                    \
    }
PyMemAllocatorEx allocators[3] = {BELOW, BELOW, BELOW};

void PyMem_GetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx *allocator)
{
    *allocator = allocators[domain];
}

void PyMem_SetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx *allocator)
{
    allocators[domain] = *allocator;
}

/* ---- threads and frames ----------------------------------------------------------------------------------------------------- */

void stand_in_enter(struct stand_in *thread)
{
    thread->tstate.interp = (PyInterpreterState *)&main_interpreter;
    thread->stack = thread->stacks;
    of_this_thread = &thread->tstate;
}

void stand_in_attach(struct stand_in *thread)
{
#ifndef Py_GIL_DISABLED
    pthread_mutex_lock(&gil);
#endif
    attached = &thread->tstate;
}

void stand_in_detach(void)
{
    attached = NULL;
#ifndef Py_GIL_DISABLED
    pthread_mutex_unlock(&gil);
#endif
}

static PyObject *make_string(const char *text)
{
    size_t length = strlen(text);
    PyASCIIObject *string = calloc(1, sizeof(*string) + length + 1);
    Py_SET_TYPE((PyObject *)string, &PyUnicode_Type);
    string->length = (Py_ssize_t)length;
    string->state.kind = PyUnicode_1BYTE_KIND;
    string->state.compact = 1;
    string->state.ascii = 1;
    memcpy(string + 1, text, length + 1);
    return (PyObject *)string;
}

/* Objects/locations.md: kind 13 (no columns), so many code units, one line more than before. */
static PyObject *make_line_table(void)
{
    Py_ssize_t entries = CODE_UNITS / UNITS_PER_LINE;
    PyBytesObject *table = calloc(1, sizeof(*table) + (size_t)entries * 2);
    Py_SET_TYPE((PyObject *)table, &PyBytes_Type);
    ((PyVarObject *)table)->ob_size = entries * 2;
    for (Py_ssize_t i = 0; i < entries; i++) {
        table->ob_sval[2 * i] = (char)(0x80 | 13 << 3 | (UNITS_PER_LINE - 1));
        table->ob_sval[2 * i + 1] = i ? 2 : 0;
    }
    return (PyObject *)table;
}

PyCodeObject *stand_in_code(const char *filename, const char *name, int line)
{
    size_t bytes = sizeof(PyCodeObject) + CODE_UNITS * sizeof(_Py_CODEUNIT);
    PyCodeObject *code = allocators[OBJ].calloc(allocators[OBJ].ctx, 1, bytes);
    Py_SET_TYPE((PyObject *)code, &PyCode_Type);
    ((PyVarObject *)code)->ob_size = CODE_UNITS;
    code->co_filename = make_string(filename);
    code->co_name = code->co_qualname = make_string(name);
    code->co_linetable = make_line_table();
    code->co_firstlineno = line;
    return code;
}

void stand_in_drop(PyCodeObject *code)
{
    free(code->co_filename);
    free(code->co_name);
    free(code->co_linetable);
    allocators[OBJ].free(allocators[OBJ].ctx, code);
}

static void show_top(struct stand_in *thread)
{
    struct stand_in_stack *stack = thread->stack;
    thread->tstate.current_frame = stack->depth ? &stack->frames[stack->depth - 1] : NULL;
}

void stand_in_push(struct stand_in *thread, PyCodeObject *code)
{
    struct stand_in_stack *stack = thread->stack;
    tm_frame *frame = &stack->frames[stack->depth];
    frame->f_executable = (PyObject *)code;
    frame->previous = stack->depth ? &stack->frames[stack->depth - 1] : NULL;
    frame->owner = FRAME_OWNED_BY_THREAD;
    frame->instr_ptr = (_Py_CODEUNIT *)code->co_code_adaptive;
    stack->depth++;
    show_top(thread);
}

void stand_in_pop(struct stand_in *thread)
{
    thread->stack->depth--;
    show_top(thread);
}

void stand_in_switch(struct stand_in *thread, int stack)
{
    thread->stack = &thread->stacks[stack];
    show_top(thread);
}

void stand_in_go(struct stand_in *thread, int i, int line)
{
    tm_frame *frame = &thread->stack->frames[i];
    PyCodeObject *code = (PyCodeObject *)frame->f_executable;
    frame->instr_ptr = (_Py_CODEUNIT *)code->co_code_adaptive + (line - code->co_firstlineno) * UNITS_PER_LINE;
}

#endif
