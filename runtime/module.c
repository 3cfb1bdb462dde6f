/* SPDX-License-Identifier: MIT */
/* The extension module tm._tm: the thin Python face of the runtime.  Everything that a user sees is in python/tm/. */
#include "frames.h"
#include "map.h"

/* While Python objects are made for an answer, their allocations are not traced (as in CPython's tracemalloc). */
static struct tm_thread *pause_tracing(uint32_t *busy)
{
    struct tm_thread *thread = tm_thread_get();
    if (thread) {
        *busy = thread->busy;
        thread->busy = 1;
    }
    return thread;
}

static void resume_tracing(struct tm_thread *thread, uint32_t busy)
{
    if (thread)
        thread->busy = busy;
}

static PyObject *py_start(PyObject *module, PyObject *args)
{
    int frames = 1;
    (void)module;
    if (!PyArg_ParseTuple(args, "|i:start", &frames))
        return NULL;
    if (frames < 1 || frames > 65535) {
        PyErr_Format(PyExc_ValueError, "the number of frames must be in range [1; %i]", 65535);
        return NULL;
    }
    if (!tm_start((uint32_t)frames))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *py_stop(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    tm_stop();
    Py_RETURN_NONE;
}

static PyObject *py_is_tracing(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyBool_FromLong(tm_runtime.tracing);
}

static PyObject *py_clear_traces(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    tm_clear();
    Py_RETURN_NONE;
}

static PyObject *py_get_traceback_limit(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromLong(tm_runtime.frame_limit ? (long)tm_runtime.frame_limit : 1);
}

static PyObject *py_get_traced_memory(PyObject *module, PyObject *unused)
{
    uint64_t peak;
    (void)module;
    (void)unused;
    uint64_t live = tm_traced_bytes(&peak);
    return Py_BuildValue("KK", (unsigned long long)live, (unsigned long long)peak);
}

static PyObject *py_reset_peak(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    tm_reset_peak();
    Py_RETURN_NONE;
}

/* ---- traces as Python objects ------------------------------------------------------------------------------------------------ */

/*
 * A frame equals the plain tuple (filename, lineno), as which the standard library's classes know it, and carries the
 * function's name as an attribute that is no item.
 */
static PyStructSequence_Field frame_fields[] = {
    {"filename", "name of the file"},
    {"lineno", "line, 0 if unknown"},
    {"name", "function: qualified name from CPython 3.11 on, plain name before"},
    {NULL, NULL},
};

static PyStructSequence_Desc frame_description = {"tm._tm.frame", "(filename, lineno), and .name", frame_fields, 2};
static PyTypeObject *frame_type;

/* Shared objects of one answer, by location and by stack. */
struct answer {
    bool plain;           /* frames are tuples of three */
    PyObject *frames;     /* dict: location -> (filename, lineno, name) */
    PyObject *tracebacks; /* dict: stack -> (frames, total_nframe) */
};

static PyObject *string_at(uint32_t number)
{
    const struct tm_string *string = number ? tm_table_at(&tm_runtime.state->strings, number) : NULL;
    if (!string)
        return PyUnicode_FromString("<unknown>");
    PyObject *text = PyUnicode_DecodeUTF8((const char *)(string + 1), string->length, "surrogatepass");
    if (text)
        PyUnicode_InternInPlace(&text);
    return text;
}

static PyObject *cached(PyObject *dict, uint32_t number, PyObject *(*make)(struct answer *, uint32_t),
                        struct answer *answer)
{
    PyObject *key = PyLong_FromUnsignedLong(number);
    PyObject *value = key ? PyDict_GetItemWithError(dict, key) : NULL;
    if (value) {
        Py_INCREF(value);
    } else if (key && !PyErr_Occurred()) {
        value = make(answer, number);
        if (value && PyDict_SetItem(dict, key, value))
            Py_CLEAR(value);
    }
    Py_XDECREF(key);
    return value;
}

static PyObject *make_frame(struct answer *answer, uint32_t number)
{
    const struct tm_location *location = tm_table_at(&tm_runtime.state->locations, number);
    PyObject *filename = string_at(location->filename);
    PyObject *name = string_at(location->name);
    PyObject *lineno = PyLong_FromUnsignedLong(location->lineno);
    PyObject *frame = !filename || !name || !lineno ? NULL
                      : answer->plain               ? PyTuple_New(3)
                                                    : PyStructSequence_New(frame_type);
    if (!frame) {
        Py_XDECREF(filename);
        Py_XDECREF(name);
        Py_XDECREF(lineno);
        return NULL;
    }
    PyObject *const items[] = {filename, lineno, name};
    for (int i = 0; i < 3; i++) {
        if (answer->plain)
            PyTuple_SET_ITEM(frame, i, items[i]);
        else
            PyStructSequence_SetItem(frame, i, items[i]);
    }
    return frame;
}

/* ((frame, ...) newest first, total_nframe) */
static PyObject *make_traceback(struct answer *answer, uint32_t number)
{
    const struct tm_state *state = tm_runtime.state;
    const struct tm_stack *newest = tm_table_at(&state->stacks, number);
    Py_ssize_t count = 0;
    for (uint32_t at = number; at && count < state->frame_limit; count++)
        at = ((struct tm_stack *)tm_table_at(&state->stacks, at))->parent;

    PyObject *frames = PyTuple_New(count);
    if (!frames)
        return NULL;
    uint32_t at = number;
    for (Py_ssize_t i = 0; i < count; i++) {
        const struct tm_stack *stack = tm_table_at(&state->stacks, at);
        PyObject *frame = cached(answer->frames, stack->location, make_frame, answer);
        if (!frame) {
            Py_DECREF(frames);
            return NULL;
        }
        PyTuple_SET_ITEM(frames, i, frame);
        at = stack->parent;
    }
    return Py_BuildValue("NI", frames, newest->depth);
}

static bool answer_begin(struct answer *answer, bool plain)
{
    answer->plain = plain;
    answer->frames = PyDict_New();
    answer->tracebacks = PyDict_New();
    return answer->frames && answer->tracebacks;
}

static void answer_end(struct answer *answer)
{
    Py_XDECREF(answer->frames);
    Py_XDECREF(answer->tracebacks);
}

/* A copy of all live blocks, taken before any object is made. */
struct block {
    uint64_t address;
    uint64_t size;
    uint32_t stack;
    uint32_t domain;
};

struct blocks {
    struct block *list; /* malloc'd: not through the hooks */
    size_t count;
    size_t capacity;
};

static void add_block(struct blocks *blocks, struct block block)
{
    if (blocks->count == blocks->capacity) {
        size_t capacity = blocks->capacity ? blocks->capacity * 2 : 1 << 14;
        struct block *list = realloc(blocks->list, capacity * sizeof(block));
        if (!list)
            return;
        blocks->list = list;
        blocks->capacity = capacity;
    }
    blocks->list[blocks->count++] = block;
}

static void visit_block(uintptr_t address, uint64_t slot, uint64_t size, void *argument)
{
    add_block(argument, (struct block){address, size, tm_slot_stack(slot), 0});
}

static void copy_blocks(struct blocks *blocks)
{
    tm_map_visit(visit_block, blocks);
    uint64_t count = __atomic_load_n(&tm_runtime.state->foreign.count, __ATOMIC_ACQUIRE);
    for (uint64_t i = 0; i < count; i++) {
        const struct tm_foreign *record = tm_table_at(&tm_runtime.state->foreign, i);
        if (record->stack)
            add_block(blocks, (struct block){record->address, record->size, record->stack, record->domain});
    }
}

static PyObject *trace_of(struct answer *answer, const struct block *block)
{
    PyObject *traceback = cached(answer->tracebacks, block->stack, make_traceback, answer);
    if (!traceback)
        return NULL;
    PyObject *trace = Py_BuildValue("IKOO", block->domain, (unsigned long long)block->size,
                                    PyTuple_GET_ITEM(traceback, 0), PyTuple_GET_ITEM(traceback, 1));
    Py_DECREF(traceback);
    return trace;
}

/* [(domain, size, (frame, ...), total_nframe), ...] */
static PyObject *py_get_traces(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (!tm_runtime.tracing)
        return PyList_New(0);

    uint32_t busy = 0;
    struct tm_thread *thread = pause_tracing(&busy);
    struct answer answer;
    struct blocks blocks = {0};
    PyObject *list = NULL;

    if (answer_begin(&answer, false)) {
        copy_blocks(&blocks);
        list = PyList_New((Py_ssize_t)blocks.count);
    }
    for (size_t i = 0; list && i < blocks.count; i++) {
        PyObject *trace = trace_of(&answer, &blocks.list[i]);
        if (trace)
            PyList_SET_ITEM(list, (Py_ssize_t)i, trace);
        else
            Py_CLEAR(list);
    }
    free(blocks.list);
    answer_end(&answer);
    resume_tracing(thread, busy);
    return list;
}

/* Start of the block that an object lies in: a GC head and managed words come before the object, 32 bytes at most
 * (_PyType_PreHeaderSize).  The nearest start wins. */
static uint32_t stack_of_object(uintptr_t object)
{
    for (uintptr_t back = 0; back <= 32; back += 1 << TM_GRANULE_BITS) {
        const uint64_t *slot = tm_map_find_slot(object - back);
        uint64_t value = slot ? __atomic_load_n(slot, __ATOMIC_ACQUIRE) : 0;
        if (value && !(value & TM_SLOT_EXTENSION))
            return tm_slot_size(object - back, value) > back ? tm_slot_stack(value) : 0;
    }
    return 0;
}

static PyObject *object_traceback(PyObject *object, bool plain)
{
    struct tm_foreign foreign;
    uint32_t stack = 0;

    if (tm_runtime.tracing) {
        stack = stack_of_object((uintptr_t)object);
        if (!stack && tm_foreign_find(0, (uintptr_t)object, &foreign))
            stack = foreign.stack;
    }
    if (!stack)
        Py_RETURN_NONE;
    uint32_t busy = 0;
    struct tm_thread *thread = pause_tracing(&busy);
    struct answer answer;
    PyObject *traceback = answer_begin(&answer, plain) ? make_traceback(&answer, stack) : NULL;
    answer_end(&answer);
    resume_tracing(thread, busy);
    return traceback;
}

/* (((filename, lineno, name), ...), total_nframe), or None */
static PyObject *py_get_object_traceback(PyObject *module, PyObject *object)
{
    (void)module;
    return object_traceback(object, true);
}

/* ((frame, ...), total_nframe), or None */
static PyObject *py_object_frames(PyObject *module, PyObject *object)
{
    (void)module;
    return object_traceback(object, false);
}

/* ---- foreign blocks ---------------------------------------------------------------------------------------------------------------- */

static PyObject *py_track(PyObject *module, PyObject *args)
{
    unsigned int domain;
    unsigned long long address;
    unsigned long long size;
    (void)module;
    if (!PyArg_ParseTuple(args, "IKK:_track", &domain, &address, &size))
        return NULL;
    if (tm_runtime.tracing && !tm_foreign_track(domain, address, size, tm_current_stack()))
        tm_lost();
    Py_RETURN_NONE;
}

static PyObject *py_untrack(PyObject *module, PyObject *args)
{
    unsigned int domain;
    unsigned long long address;
    (void)module;
    if (!PyArg_ParseTuple(args, "IK:_untrack", &domain, &address))
        return NULL;
    if (tm_runtime.tracing)
        tm_foreign_untrack(domain, address);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"start", py_start, METH_VARARGS, NULL},
    {"stop", py_stop, METH_NOARGS, NULL},
    {"is_tracing", py_is_tracing, METH_NOARGS, NULL},
    {"clear_traces", py_clear_traces, METH_NOARGS, NULL},
    {"get_traceback_limit", py_get_traceback_limit, METH_NOARGS, NULL},
    {"get_traced_memory", py_get_traced_memory, METH_NOARGS, NULL},
    {"reset_peak", py_reset_peak, METH_NOARGS, NULL},
    {"_get_traces", py_get_traces, METH_NOARGS, NULL},
    {"_get_object_traceback", py_get_object_traceback, METH_O, NULL},
    {"_object_frames", py_object_frames, METH_O, NULL},
    {"_track", py_track, METH_VARARGS, NULL},
    {"_untrack", py_untrack, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
    if (!frame_type)
        frame_type = PyStructSequence_NewType(&frame_description);
    if (!frame_type)
        return -1;
    Py_INCREF(frame_type);
    return PyModule_AddObject(module, "frame", (PyObject *)frame_type);
}

static struct PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "tm._tm", .m_doc = "The runtime of tm.", .m_methods = methods, .m_slots = slots,
};

/* CPython 3.8 does not export it by itself. */
TM_EXPORT PyMODINIT_FUNC PyInit__tm(void);

PyMODINIT_FUNC PyInit__tm(void)
{
    return PyModuleDef_Init(&definition);
}
