/* SPDX-License-Identifier: MIT */
/* The extension module tm._tm: the thin Python face of the runtime.  Everything that a user sees is in python/tm/. */
#include "frames.h"
#include "map.h"
#include "table.h"

/* While Python objects are made for an answer, their allocations are not traced (as in CPython's tracemalloc). */
static uint32_t pause_tracing(void)
{
    struct tm_thread *thread = tm_root.state ? tm_thread_get() : NULL;
    if (!thread)
        return TM_PAUSED;
    uint32_t busy = thread->busy;
    __atomic_store_n(&thread->busy, TM_PAUSED, __ATOMIC_RELEASE);
    return busy;
}

static void resume_tracing(uint32_t busy)
{
    /* A thread without a record then may have got one in between, by starting; it was never paused. */
    if (tm_self != &tm_nobody && busy != TM_PAUSED)
        __atomic_store_n(&tm_self->busy, busy, __ATOMIC_RELEASE);
}

/* ---- for tm._engine, as a capsule ----------------------------------------------------------------------------------------------- */

typedef void (*visit_fn)(void *context, uint64_t address, uint64_t size, uint32_t stack, uint32_t domain);

struct visitor {
    visit_fn visit;
    void *context;
};

static void visit_slot(uintptr_t address, uint64_t slot, uint64_t size, void *argument)
{
    const struct visitor *visitor = argument;
    visitor->visit(visitor->context, address, size, tm_slot_stack(slot), 0);
}

/* Shows all live blocks. */
static void visit_blocks(visit_fn visit, void *context)
{
    struct visitor visitor = {visit, context};
    if (!tm_is_tracing())
        return;
    tm_map_visit(visit_slot, &visitor);
    uint64_t count = __atomic_load_n(&tm_runtime.state->foreign.count, __ATOMIC_ACQUIRE);
    for (uint64_t i = 0; i < count; i++) {
        const struct tm_foreign *record = tm_table_at(&tm_runtime.state->foreign, i);
        if (record->stack)
            visit(context, record->address, record->size, record->stack, record->domain);
    }
}

static void *const engine_api[] = {pause_tracing, resume_tracing, visit_blocks, &tm_root};

/* _untraced(function, *args) */
static PyObject *py_untraced(PyObject *module, PyObject *args)
{
    (void)module;
    if (!PyTuple_GET_SIZE(args)) {
        PyErr_SetString(PyExc_TypeError, "_untraced() needs a function");
        return NULL;
    }
    uint32_t busy = pause_tracing();
    PyObject *rest = PyTuple_GetSlice(args, 1, PyTuple_GET_SIZE(args));
    PyObject *answer = rest ? PyObject_CallObject(PyTuple_GET_ITEM(args, 0), rest) : NULL;
    Py_XDECREF(rest);
    resume_tracing(busy);
    return answer;
}

/* As Modules/_tracemalloc.c: from CPython 3.9 on, the length of a traceback is a short.  Here no more than that are kept. */
#if PY_VERSION_HEX >= 0x03090000
#define MOST_FRAMES 65535
#else
#define MOST_FRAMES 178956969
#endif

static PyObject *py_start(PyObject *module, PyObject *args)
{
    int frames = 1;
    (void)module;
    if (!PyArg_ParseTuple(args, "|i:start", &frames))
        return NULL;
    if (frames < 1 || frames > MOST_FRAMES) {
        PyErr_Format(PyExc_ValueError, "the number of frames must be in range [1; %i]", MOST_FRAMES);
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
    return PyBool_FromLong(tm_is_tracing());
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

static PyObject *py_get_tracemalloc_memory(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromUnsignedLongLong(tm_resident_bytes());
}

static PyObject *py_reset_peak(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    tm_reset_peak();
    Py_RETURN_NONE;
}

/* ---- tracebacks as Python objects --------------------------------------------------------------------------------------------- */

/*
 * A frame equals the plain tuple (filename, lineno), as which the standard library's classes know it, and carries the
 * function's name as an attribute that is no item.
 */
static PyStructSequence_Field frame_fields[] = {
    {"filename", "name of the file"},
    {"lineno", "line, 0 if unknown"},
    {"name", "function: qualified name from CPython 3.11 on, plain name before; None if unknown"},
    {NULL, NULL},
};

static PyStructSequence_Desc frame_description = {"tm._tm.frame", "(filename, lineno), and .name", frame_fields, 2};

/* State of the module: one for each interpreter. */
struct python {
    PyTypeObject *frame_type;
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

/* frame_type NULL: a plain tuple of three. */
static PyObject *make_frame(PyTypeObject *frame_type, uint32_t number)
{
    const struct tm_location *location = tm_table_at(&tm_runtime.state->locations, number);
    PyObject *items[] = {string_at(location->filename), PyLong_FromUnsignedLong(location->lineno), NULL};
    if (location->name) {
        items[2] = string_at(location->name);
    } else {
        Py_INCREF(Py_None);
        items[2] = Py_None;
    }
    PyObject *frame = !items[0] || !items[1] || !items[2] ? NULL
                      : frame_type                        ? PyStructSequence_New(frame_type)
                                                          : PyTuple_New(3);
    for (int i = 0; i < 3; i++) {
        if (!frame)
            Py_XDECREF(items[i]);
        else if (frame_type)
            PyStructSequence_SetItem(frame, i, items[i]);
        else
            PyTuple_SET_ITEM(frame, i, items[i]);
    }
    return frame;
}

/* ((frame, ...) newest first, total_nframe) */
static PyObject *make_traceback(PyTypeObject *frame_type, uint32_t number)
{
    const struct tm_state *state = tm_runtime.state;
    const struct tm_stack *newest = tm_table_at(&state->stacks, number);
    Py_ssize_t count = 0;
    for (uint32_t at = number; at && count < state->frame_limit; count++)
        at = ((struct tm_stack *)tm_table_at(&state->stacks, at))->parent;

    PyObject *frames = PyTuple_New(count);
    uint32_t at = number;
    for (Py_ssize_t i = 0; frames && i < count; i++) {
        const struct tm_stack *stack = tm_table_at(&state->stacks, at);
        PyObject *frame = make_frame(frame_type, stack->location);
        if (frame)
            PyTuple_SET_ITEM(frames, i, frame);
        else
            Py_CLEAR(frames);
        at = stack->parent;
    }
    return frames ? Py_BuildValue("NI", frames, newest->depth) : NULL;
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

static PyObject *object_traceback(PyTypeObject *frame_type, PyObject *object)
{
    struct tm_foreign foreign;
    uint32_t stack = 0;

    if (tm_is_tracing()) {
        stack = stack_of_object((uintptr_t)object);
        if (!stack && tm_foreign_find(0, (uintptr_t)object, &foreign))
            stack = foreign.stack;
    }
    if (!stack)
        Py_RETURN_NONE;
    uint32_t busy = pause_tracing();
    PyObject *traceback = make_traceback(frame_type, stack);
    resume_tracing(busy);
    return traceback;
}

/* (((filename, lineno, name), ...), total_nframe), or None */
static PyObject *py_get_object_traceback(PyObject *module, PyObject *object)
{
    (void)module;
    return object_traceback(NULL, object);
}

/* ((frame, ...), total_nframe), or None */
static PyObject *py_object_frames(PyObject *module, PyObject *object)
{
    return object_traceback(((struct python *)PyModule_GetState(module))->frame_type, object);
}

/* ---- foreign blocks ---------------------------------------------------------------------------------------------------------------- */

/* _track(domain, address, size[, without the GIL]), _untrack(domain, address), _get_traceback(domain, address): as
 * PyTraceMalloc_Track() and its companions, which report -2 while nothing is traced. */
static bool is_tracing_or_error(void)
{
    if (!tm_is_tracing())
        PyErr_SetString(PyExc_RuntimeError, "tm is not tracing");
    return tm_is_tracing();
}

static PyObject *py_track(PyObject *module, PyObject *args)
{
    unsigned int domain;
    unsigned long long address, size;
    int release_gil = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "IKK|p:_track", &domain, &address, &size, &release_gil) || !is_tracing_or_error())
        return NULL;
    PyThreadState *thread = release_gil ? PyEval_SaveThread() : NULL;
    bool tracked = tm_foreign_track(domain, address, size, tm_current_stack());
    if (thread)
        PyEval_RestoreThread(thread);
    if (!tracked)
        tm_lost();
    Py_RETURN_NONE;
}

static PyObject *py_untrack(PyObject *module, PyObject *args)
{
    unsigned int domain;
    unsigned long long address;
    (void)module;
    if (!PyArg_ParseTuple(args, "IK:_untrack", &domain, &address) || !is_tracing_or_error())
        return NULL;
    tm_foreign_untrack(domain, address);
    Py_RETURN_NONE;
}

/* (frame, ...), or None */
static PyObject *py_get_traceback(PyObject *module, PyObject *args)
{
    unsigned int domain;
    unsigned long long address;
    struct tm_foreign foreign;
    if (!PyArg_ParseTuple(args, "IK:_get_traceback", &domain, &address))
        return NULL;
    if (!tm_is_tracing() || !tm_foreign_find(domain, address, &foreign) || !foreign.stack)
        Py_RETURN_NONE;
    uint32_t busy = pause_tracing();
    PyObject *both = make_traceback(((struct python *)PyModule_GetState(module))->frame_type, foreign.stack);
    PyObject *frames = both ? PyTuple_GET_ITEM(both, 0) : NULL;
    Py_XINCREF(frames);
    Py_XDECREF(both);
    resume_tracing(busy);
    return frames;
}

/* ---- the module ------------------------------------------------------------------------------------------------------------------------- */

PyDoc_STRVAR(start_doc,
             "start(nframe=1, /)\n--\n\n"
             "Start tracing allocations of Python's memory allocators.\n\n"
             "nframe: frames of each traceback to keep, 1 to 65535 (ValueError otherwise).  Does nothing while\n"
             "tracing already.  MemoryError if the table cannot be made.");
PyDoc_STRVAR(stop_doc, "stop()\n--\n\nStop tracing and forget all traces.  Does nothing while not tracing.");
PyDoc_STRVAR(is_tracing_doc, "is_tracing()\n--\n\nTrue between start() and stop().");
PyDoc_STRVAR(clear_doc, "clear_traces()\n--\n\nForget all traces, and go on tracing.  Does nothing while not tracing.");
PyDoc_STRVAR(limit_doc, "get_traceback_limit()\n--\n\n"
                        "Frames of each traceback that are kept: nframe of the last start(); 1 before the first.");
PyDoc_STRVAR(traced_doc, "get_traced_memory()\n--\n\n"
                         "(current, peak) size of all traced blocks, in bytes; (0, 0) while not tracing.");
PyDoc_STRVAR(reset_peak_doc,
             "reset_peak()\n--\n\n"
             "Set the peak of get_traced_memory() to the current size.  Does nothing while not tracing.");
PyDoc_STRVAR(memory_doc,
             "get_tracemalloc_memory()\n--\n\n"
             "Memory that tracing itself takes, in bytes: what the kernel has made resident of the table, not\n"
             "what is mapped for it.  0 before the first start().");

static PyMethodDef methods[] = {
    {"start", py_start, METH_VARARGS, start_doc},
    {"stop", py_stop, METH_NOARGS, stop_doc},
    {"is_tracing", py_is_tracing, METH_NOARGS, is_tracing_doc},
    {"clear_traces", py_clear_traces, METH_NOARGS, clear_doc},
    {"get_traceback_limit", py_get_traceback_limit, METH_NOARGS, limit_doc},
    {"get_traced_memory", py_get_traced_memory, METH_NOARGS, traced_doc},
    {"reset_peak", py_reset_peak, METH_NOARGS, reset_peak_doc},
    {"get_tracemalloc_memory", py_get_tracemalloc_memory, METH_NOARGS, memory_doc},
    {"_untraced", py_untraced, METH_VARARGS, NULL},
    {"_get_object_traceback", py_get_object_traceback, METH_O, NULL},
    {"_object_frames", py_object_frames, METH_O, NULL},
    {"_track", py_track, METH_VARARGS, NULL},
    {"_untrack", py_untrack, METH_VARARGS, NULL},
    {"_get_traceback", py_get_traceback, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
    struct python *python = PyModule_GetState(module);
    python->frame_type = PyStructSequence_NewType(&frame_description);
    if (!python->frame_type)
        return -1;
    Py_INCREF(python->frame_type);
    if (PyModule_AddObject(module, "frame", (PyObject *)python->frame_type) < 0)
        return -1;
    if (PyModule_AddStringConstant(module, "__version__", TM_VERSION) < 0)
        return -1;
    PyObject *capsule = PyCapsule_New((void *)engine_api, "tm._tm._for_engine", NULL);
    return capsule ? PyModule_AddObject(module, "_for_engine", capsule) : -1;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    struct python *python = PyModule_GetState(module);
    if (python)
        Py_VISIT(python->frame_type);
    return 0;
}

static int clear(PyObject *module)
{
    struct python *python = PyModule_GetState(module);
    if (python)
        Py_CLEAR(python->frame_type);
    return 0;
}

static void release(void *module)
{
    clear(module);
}

static struct PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,           .m_name = "tm._tm",   .m_doc = "The runtime of tm.",
    .m_size = sizeof(struct python), .m_methods = methods, .m_slots = slots,
    .m_traverse = traverse,          .m_clear = clear,     .m_free = release,
};

/* CPython 3.8 does not export it by itself. */
TM_EXPORT PyMODINIT_FUNC PyInit__tm(void);

PyMODINIT_FUNC PyInit__tm(void)
{
    return PyModuleDef_Init(&definition);
}
