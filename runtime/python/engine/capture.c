/* SPDX-License-Identifier: MIT */
/* The type Capture: live blocks held still, as a lazy sequence of (domain, size, frames, total_nframe). */
#include "binding.h"

#include "reader/string_table.h"
#include "reader/windows.h"

struct capture *capture_new(PyObject *module, struct tm_capture *blocks, struct capture *origin)
{
    struct capture *capture = PyObject_New(struct capture, binding_of(module)->capture_type);
    if (!capture) {
        tm_capture_destroy(blocks);
        return NULL;
    }
    Py_INCREF(module);
    Py_XINCREF(origin);
    capture->module = module;
    capture->origin = origin;
    capture->blocks = blocks;
    capture->strings = capture->frames = capture->tracebacks = NULL;
    capture->canonical = NULL;
    return capture;
}

static void drop_all(PyObject **objects, size_t count)
{
    for (size_t i = 0; objects && i < count; i++)
        Py_XDECREF(objects[i]);
    free(objects);
}

static void capture_dealloc(PyObject *self)
{
    struct capture *capture = (struct capture *)self;
    const struct tm_model *model = model_of(capture);
    PyTypeObject *type = Py_TYPE(self);
    drop_all(capture->tracebacks, model->stack_count);
    drop_all(capture->frames, model->location_count);
    drop_all(capture->strings, model->strings.count);
    free(capture->canonical);
    tm_capture_destroy(capture->blocks);
    Py_XDECREF(capture->origin);
    Py_DECREF(capture->module);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* ---- objects, made once ------------------------------------------------------------------------------------------------- */

/* The place of an object that is made once; NULL with an error when there is no memory. */
static PyObject **place(PyObject ***objects, uint32_t count, uint32_t index)
{
    if (!*objects) {
        *objects = calloc((size_t)count + 1, sizeof(PyObject *));
        if (!*objects)
            PyErr_NoMemory();
    }
    return *objects ? &(*objects)[index] : NULL;
}

static PyObject *keep(PyObject **at, PyObject *made)
{
    if (!made)
        return NULL;
    if (*at) { /* making it ran a finalizer that asked for the same */
        Py_DECREF(made);
        made = *at;
    } else {
        *at = made;
    }
    Py_INCREF(made);
    return made;
}

PyObject *capture_filename(struct capture *capture, uint32_t string)
{
    capture = owner_of(capture);
    const struct tm_model *model = model_of(capture);
    PyObject **at = place(&capture->strings, model->strings.count, string);
    if (!at)
        return NULL;
    if (*at) {
        Py_INCREF(*at);
        return *at;
    }
    struct tm_string_ref text = tm_model_text(model, string);
    PyObject *made = PyUnicode_DecodeUTF8(text.bytes, text.length, "surrogatepass");
    if (made)
        PyUnicode_InternInPlace(&made);
    return keep(at, made);
}

PyObject *capture_frame(struct capture *capture, uint32_t location)
{
    capture = owner_of(capture);
    const struct tm_model *model = model_of(capture);
    PyObject **at = place(&capture->frames, model->location_count, location);
    if (!at)
        return NULL;
    if (*at) {
        Py_INCREF(*at);
        return *at;
    }
    const struct tm_model_location *place = &model->locations[location];
    PyObject *items[] = {capture_filename(capture, place->filename), PyLong_FromUnsignedLong(place->lineno), NULL};
    if (place->name) {
        items[2] = capture_filename(capture, place->name);
    } else {
        Py_INCREF(Py_None);
        items[2] = Py_None;
    }
    PyObject *frame =
        items[0] && items[1] && items[2] ? PyStructSequence_New(binding_of(capture->module)->frame_type) : NULL;
    for (int i = 0; i < 3; i++) {
        if (frame)
            PyStructSequence_SetItem(frame, i, items[i]);
        else
            Py_XDECREF(items[i]);
    }
    return keep(at, frame);
}

/* Stacks whose tracebacks are alike get one and the same tuple, as in tracemalloc. */
static struct tm_error *find_canonical(struct capture *capture)
{
    const struct tm_model *model = model_of(capture);
    uint32_t *lines = NULL, *canonical = malloc(model->stack_count * sizeof(*canonical));
    size_t size = 16;
    while (size < (size_t)model->stack_count * 2)
        size *= 2;
    uint32_t *table = calloc(size, sizeof(*table));
    struct tm_window_key *keys = malloc(model->stack_count * sizeof(*keys));
    struct tm_windows windows = {0};
    struct tm_error *error = canonical && table && keys ? NULL : tm_error_no_memory();
    if (!error)
        error = tm_number_lines(&model, 1, TM_GROUP_TRACEBACK, &lines);
    if (!error)
        error = tm_windows_init(&windows, model, lines, true);
    for (uint32_t i = 0; i < model->stack_count && !error; i++) {
        keys[i] = tm_window_key(&windows, i);
        size_t at = tm_mix(keys[i].high ^ keys[i].low) & (size - 1);
        while (table[at] && (keys[table[at] - 1].high != keys[i].high || keys[table[at] - 1].low != keys[i].low))
            at = (at + 1) & (size - 1);
        if (!table[at])
            table[at] = i + 1;
        canonical[i] = table[at] - 1;
    }
    if (!error)
        tm_windows_deinit(&windows);
    free(lines);
    free(table);
    free(keys);
    if (error)
        free(canonical);
    else
        capture->canonical = canonical;
    return error;
}

/* The frames of a traceback as trace tuples have them: newest first. */
static PyObject *traceback_tuple(struct capture *capture, uint32_t stack)
{
    capture = owner_of(capture);
    const struct tm_model *model = model_of(capture);
    if (!capture->canonical) {
        struct tm_error *error = find_canonical(capture);
        if (error)
            return raise_error(error);
    }
    stack = capture->canonical[stack];
    PyObject **at = place(&capture->tracebacks, model->stack_count, stack);
    if (!at)
        return NULL;
    if (*at) {
        Py_INCREF(*at);
        return *at;
    }
    uint32_t length = stack ? tm_traceback_length(model, stack) : 1;
    PyObject *made = PyTuple_New(length);
    for (uint32_t i = 0; made && i < length; i++) {
        PyObject *frame = capture_frame(capture, model->stacks[stack].location);
        if (frame)
            PyTuple_SET_ITEM(made, i, frame);
        else
            Py_CLEAR(made);
        stack = model->stacks[stack].parent;
    }
    return keep(at, made);
}

static PyObject *trace_tuple(struct capture *capture, size_t index)
{
    const struct tm_captured *block = &capture->blocks->blocks[index];
    uint32_t depth = model_of(capture)->stacks[block->stack].depth;
    bool has_total = binding_of(capture->module)->has_total;
    PyObject *frames = traceback_tuple(capture, block->stack);
    if (!frames)
        return NULL;
    if (depth > 65535) /* tracemalloc's own limit: a short */
        depth = 65535;
    return has_total ? Py_BuildValue("IKNI", block->domain, (unsigned long long)block->size, frames, depth ? depth : 1)
                     : Py_BuildValue("IKN", block->domain, (unsigned long long)block->size, frames);
}

/* ---- a sequence ------------------------------------------------------------------------------------------------------------ */

static Py_ssize_t capture_length(PyObject *self)
{
    return (Py_ssize_t)((struct capture *)self)->blocks->count;
}

static PyObject *capture_item(PyObject *self, Py_ssize_t index)
{
    struct capture *capture = (struct capture *)self;
    struct binding *binding = binding_of(capture->module);
    PyObject *trace = NULL;
    if (index < 0 || index >= capture_length(self)) {
        PyErr_SetString(PyExc_IndexError, "list index out of range");
        return NULL;
    }
    uint32_t token = binding->pause();
    Py_BEGIN_CRITICAL_SECTION((PyObject *)owner_of(capture));
    trace = trace_tuple(capture, (size_t)index);
    Py_END_CRITICAL_SECTION();
    binding->resume(token);
    return trace;
}

static PyObject *capture_slice(PyObject *self, Py_ssize_t start, Py_ssize_t step, Py_ssize_t count)
{
    PyObject *list = PyList_New(count);
    for (Py_ssize_t i = 0; list && i < count; i++) {
        PyObject *trace = capture_item(self, start + i * step);
        if (trace)
            PyList_SET_ITEM(list, i, trace);
        else
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *capture_subscript(PyObject *self, PyObject *index)
{
    if (PySlice_Check(index)) {
        struct binding *binding = binding_of(((struct capture *)self)->module);
        Py_ssize_t start, stop, step;
        if (PySlice_Unpack(index, &start, &stop, &step) < 0)
            return NULL;
        Py_ssize_t count = PySlice_AdjustIndices(capture_length(self), &start, &stop, step);
        uint32_t token = binding->pause();
        PyObject *list = capture_slice(self, start, step, count);
        binding->resume(token);
        return list;
    }
    Py_ssize_t at = PyNumber_AsSsize_t(index, PyExc_IndexError);
    if (at == -1 && PyErr_Occurred())
        return NULL;
    return capture_item(self, at < 0 ? at + capture_length(self) : at);
}

/* Equal to any list of equal traces: that is what tracemalloc's snapshots hold. */
static PyObject *capture_compare_items(PyObject *self, PyObject *other, int operation)
{
    if ((operation != Py_EQ && operation != Py_NE) || !(PyList_Check(other) || Py_TYPE(other) == Py_TYPE(self)))
        Py_RETURN_NOTIMPLEMENTED;
    Py_ssize_t count = capture_length(self);
    int equal = self == other || PySequence_Size(other) == count;
    for (Py_ssize_t i = 0; equal == 1 && self != other && i < count; i++) {
        PyObject *left = capture_item(self, i), *right = PySequence_GetItem(other, i);
        equal = left && right ? PyObject_RichCompareBool(left, right, Py_EQ) : -1;
        Py_XDECREF(left);
        Py_XDECREF(right);
    }
    if (equal < 0)
        return NULL;
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

PyObject *capture_copy(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_INCREF(self); /* it never changes */
    return self;
}

/* Pickled and copied as a list. */
static PyObject *capture_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *list = PySequence_List(self);
    return list ? Py_BuildValue("O(N)", (PyObject *)&PyList_Type, list) : NULL;
}

static PyMethodDef methods[] = {
    {"statistics", capture_statistics, METH_VARARGS, NULL},
    {"compare", capture_compare, METH_VARARGS, NULL},
    {"filter", capture_filter, METH_O, NULL},
    {"select", capture_select, METH_VARARGS, NULL},
    {"copy", capture_copy, METH_NOARGS, NULL},
    {"__reduce__", capture_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, capture_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_richcompare, capture_compare_items},
    {Py_tp_hash, PyObject_HashNotImplemented},
    {Py_sq_length, capture_length},
    {Py_sq_item, capture_item},
    {Py_mp_length, capture_length},
    {Py_mp_subscript, capture_subscript},
    {0, NULL},
};

PyType_Spec capture_spec = {
    .name = "tm._engine.Capture",
    .basicsize = sizeof(struct capture),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};
