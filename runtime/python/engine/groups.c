/* SPDX-License-Identifier: MIT */
/* What the engine says of groups, as tracemalloc's objects. */
#include "binding.h"

/* (filename, 0): what tracemalloc has for a whole file. */
static PyObject *file_frame(struct capture *capture, uint32_t location)
{
    PyObject *filename = capture_filename(capture, model_of(capture)->locations[location].filename);
    return filename ? Py_BuildValue("(Ni)", filename, 0) : NULL;
}

/* The frames that stand for a group, the oldest first. */
static PyObject *frames_of(struct capture *capture, enum tm_group group, uint32_t stack, uint32_t location)
{
    const struct tm_model *model = model_of(capture);
    uint32_t length = group == TM_GROUP_TRACEBACK && stack ? tm_traceback_length(model, stack) : 1;
    PyObject *frames = PyTuple_New(length);
    for (uint32_t i = length; frames && i-- > 0;) {
        if (group == TM_GROUP_TRACEBACK)
            location = model->stacks[stack].location;
        PyObject *frame = group == TM_GROUP_FILENAME ? file_frame(capture, location) : capture_frame(capture, location);
        if (frame)
            PyTuple_SET_ITEM(frames, i, frame);
        else
            Py_CLEAR(frames);
        stack = model->stacks[stack].parent;
    }
    return frames;
}

static PyObject *reversed_tuple(PyObject *tuple)
{
    Py_ssize_t count = PyTuple_GET_SIZE(tuple);
    PyObject *made = PyTuple_New(count);
    for (Py_ssize_t i = 0; made && i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(tuple, count - 1 - i);
        Py_INCREF(item);
        PyTuple_SET_ITEM(made, i, item);
    }
    Py_DECREF(tuple);
    return made;
}

static PyObject *make_traceback(struct capture *capture, enum tm_group group, uint32_t stack, uint32_t location)
{
    const struct maker *maker = &binding_of(capture->module)->traceback;
    PyObject *values[2] = {NULL, Py_None};
    Py_BEGIN_CRITICAL_SECTION((PyObject *)owner_of(capture));
    values[0] = frames_of(capture, group, stack, location);
    Py_END_CRITICAL_SECTION();
    if (values[0] && maker->call)
        values[0] = reversed_tuple(values[0]); /* the constructor wants the newest first */
    if (maker->count == 2)
        Py_INCREF(Py_None);
    return make_object(maker, values);
}

/*
 * A long list of new objects makes CPython's collector go over all that the program has, again and again, though nothing of
 * it can be garbage.  From 3.12 on it does not run between two allocations; 3.8 and 3.9 have no C functions for this.
 */
static bool collector_off(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return false;
#elif PY_VERSION_HEX >= 0x030a0000
    return PyGC_Disable();
#else
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *was_on = gc ? PyObject_CallMethod(gc, "isenabled", NULL) : NULL;
    bool on = was_on == Py_True;
    PyObject *done = on ? PyObject_CallMethod(gc, "disable", NULL) : NULL;
    Py_XDECREF(done);
    Py_XDECREF(was_on);
    Py_XDECREF(gc);
    PyErr_Clear();
    return on;
#endif
}

static void collector_on(bool was_on)
{
#if PY_VERSION_HEX >= 0x030c0000
    (void)was_on;
#elif PY_VERSION_HEX >= 0x030a0000
    if (was_on)
        PyGC_Enable();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *gc = was_on ? PyImport_ImportModule("gc") : NULL;
    PyObject *done = gc ? PyObject_CallMethod(gc, "enable", NULL) : NULL;
    Py_XDECREF(done);
    Py_XDECREF(gc);
    PyErr_Restore(type, value, traceback);
#endif
}

/* ---- statistics ----------------------------------------------------------------------------------------------------------- */

static PyObject *make_statistic(struct capture *capture, enum tm_group group, const struct tm_statistic *item)
{
    PyObject *values[] = {make_traceback(capture, group, item->stack, item->location), PyLong_FromLongLong(item->size),
                          PyLong_FromLongLong(item->count)};
    return make_object(&binding_of(capture->module)->statistic, values);
}

/* statistics(group, cumulative) -> [Statistic, ...], sorted */
PyObject *capture_statistics(PyObject *self, PyObject *args)
{
    struct capture *capture = (struct capture *)self;
    struct binding *binding = binding_of(capture->module);
    struct tm_statistics statistics;
    struct tm_error *error;
    int group, cumulative;
    if (!PyArg_ParseTuple(args, "ip:statistics", &group, &cumulative))
        return NULL;
    uint32_t token = binding->pause();
    /* What was captured never changes. */
    Py_BEGIN_ALLOW_THREADS;
    error = tm_statistics_make(model_of(capture), capture->blocks->totals, (enum tm_group)group, cumulative, 0,
                               &statistics);
    Py_END_ALLOW_THREADS;
    bool collecting = collector_off();
    PyObject *list = error ? raise_error(error) : PyList_New((Py_ssize_t)statistics.count);
    for (size_t i = 0; list && i < statistics.count; i++) {
        PyObject *made = make_statistic(capture, (enum tm_group)group, &statistics.items[i]);
        if (made)
            PyList_SET_ITEM(list, (Py_ssize_t)i, made);
        else
            Py_CLEAR(list);
    }
    collector_on(collecting);
    if (!error)
        tm_statistics_free(&statistics);
    binding->resume(token);
    return list;
}

/* ---- differences ---------------------------------------------------------------------------------------------------------- */

static PyObject *make_difference(struct capture *capture, enum tm_group group, const struct tm_difference *item)
{
    PyObject *values[] = {make_traceback(capture, group, item->stack, item->location), PyLong_FromLongLong(item->size),
                          PyLong_FromLongLong(item->size_diff), PyLong_FromLongLong(item->count),
                          PyLong_FromLongLong(item->count_diff)};
    return make_object(&binding_of(capture->module)->difference, values);
}

/* compare(old Capture, group, cumulative) -> [StatisticDiff, ...], sorted */
PyObject *capture_compare(PyObject *self, PyObject *args)
{
    struct capture *fresh = (struct capture *)self, *old;
    struct binding *binding = binding_of(fresh->module);
    struct tm_differences differences;
    struct tm_error *error;
    int group, cumulative;
    if (!PyArg_ParseTuple(args, "O!ip:compare", binding->capture_type, &old, &group, &cumulative))
        return NULL;
    uint32_t token = binding->pause();
    const struct tm_side sides[] = {{model_of(old), old->blocks->totals}, {model_of(fresh), fresh->blocks->totals}};
    Py_BEGIN_ALLOW_THREADS;
    error = tm_differences_make(&sides[0], &sides[1], (enum tm_group)group, cumulative, &differences);
    Py_END_ALLOW_THREADS;
    bool collecting = collector_off();
    PyObject *list = error ? raise_error(error) : PyList_New((Py_ssize_t)differences.count);
    for (size_t i = 0; list && i < differences.count; i++) {
        const struct tm_difference *item = &differences.items[i];
        PyObject *made = make_difference(item->gone ? old : fresh, (enum tm_group)group, item);
        if (made)
            PyList_SET_ITEM(list, (Py_ssize_t)i, made);
        else
            Py_CLEAR(list);
    }
    collector_on(collecting);
    if (!error)
        tm_differences_free(&differences);
    binding->resume(token);
    return list;
}
