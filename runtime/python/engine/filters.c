/* SPDX-License-Identifier: MIT */
/*
 * Filters.  How a file name is matched is the filter object's own business: it is asked once for each file name, not for
 * each frame of each trace.
 *
 * A filter comes as (inclusive, all_frames, domain or None, match or None, lineno or None), where match(filename) tells
 * whether a file is meant.
 */
#include "binding.h"

enum {
    UNKNOWN,
    NO,
    YES
};

static int matches_file(struct capture *capture, PyObject *match, uint32_t string, uint8_t *known)
{
    if (known[string] == UNKNOWN) {
        PyObject *filename = capture_filename(capture, string);
        PyObject *answer = filename ? PyObject_CallFunctionObjArgs(match, filename, NULL) : NULL;
        int truth = answer ? PyObject_IsTrue(answer) : -1;
        Py_XDECREF(filename);
        Py_XDECREF(answer);
        if (truth < 0)
            return -1;
        known[string] = truth ? YES : NO;
    }
    return known[string] == YES;
}

static uint8_t *match_locations(struct capture *capture, PyObject *match, int64_t lineno)
{
    const struct tm_model *model = model_of(capture);
    uint8_t *known = calloc(model->strings.count + 1, 1), *matches = malloc(model->location_count + 1);
    bool ok = known && matches;
    if (!ok)
        PyErr_NoMemory();
    for (uint32_t i = 0; ok && i < model->location_count; i++) {
        int answer = matches_file(capture, match, model->locations[i].filename, known);
        ok = answer >= 0;
        matches[i] = answer == 1 && (lineno < 0 || model->locations[i].lineno == (uint64_t)lineno);
    }
    free(known);
    if (!ok) {
        free(matches);
        return NULL;
    }
    return matches;
}

static bool read_filter(struct capture *capture, PyObject *specification, struct tm_filter *filter)
{
    int inclusive, all_frames;
    PyObject *domain, *match, *lineno;
    if (!PyArg_ParseTuple(specification, "ppOOO:filter", &inclusive, &all_frames, &domain, &match, &lineno))
        return false;
    *filter = (struct tm_filter){.inclusive = inclusive, .all_frames = all_frames, .by_domain = domain != Py_None};
    if (filter->by_domain)
        filter->domain = (uint32_t)PyLong_AsUnsignedLong(domain);
    long long line = lineno == Py_None ? -1 : PyLong_AsLongLong(lineno);
    if (PyErr_Occurred())
        return false;
    if (match == Py_None)
        return true;
    filter->matches = match_locations(capture, match, line);
    return filter->matches != NULL;
}

static void free_filters(struct tm_filter *filters, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; filters && i < count; i++)
        free((void *)filters[i].matches);
    free(filters);
}

/* NULL with an exception. */
static struct tm_filter *read_filters(struct capture *capture, PyObject *specifications)
{
    if (!PyList_Check(specifications)) {
        PyErr_SetString(PyExc_TypeError, "a list of filters is wanted");
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(specifications);
    struct tm_filter *filters = calloc((size_t)count + 1, sizeof(*filters));
    if (!filters)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; filters && i < count; i++) {
        if (!read_filter(capture, PyList_GET_ITEM(specifications, i), &filters[i])) {
            free_filters(filters, count);
            filters = NULL;
        }
    }
    return filters;
}

/* filter([specification, ...]) -> Capture */
PyObject *capture_filter(PyObject *self, PyObject *specifications)
{
    struct capture *capture = (struct capture *)self;
    struct binding *binding = binding_of(capture->module);
    uint32_t token = binding->pause();
    struct tm_filter *filters = read_filters(capture, specifications);
    PyObject *made = NULL;
    if (filters) {
        size_t count = (size_t)PyList_GET_SIZE(specifications);
        struct tm_capture *chosen = NULL;
        struct tm_error *error;
        Py_BEGIN_ALLOW_THREADS;
        error = tm_capture_filter(capture->blocks, filters, count, &chosen);
        Py_END_ALLOW_THREADS;
        made = error ? raise_error(error) : (PyObject *)capture_new(capture->module, chosen, owner_of(capture));
        free_filters(filters, (Py_ssize_t)count);
    }
    binding->resume(token);
    return made;
}

/* select(list that self was made from, [specification, ...]) -> those of the list that stay */
PyObject *capture_select(PyObject *self, PyObject *args)
{
    struct capture *capture = (struct capture *)self;
    struct binding *binding = binding_of(capture->module);
    PyObject *traces, *specifications, *chosen = NULL;
    if (!PyArg_ParseTuple(args, "O!O:select", &PyList_Type, &traces, &specifications))
        return NULL;
    uint32_t token = binding->pause();
    struct tm_filter *filters = read_filters(capture, specifications);
    uint8_t *keep = filters ? malloc(capture->blocks->count + 1) : NULL;
    if (filters && !keep)
        PyErr_NoMemory();
    if (keep) {
        struct tm_error *error =
            tm_capture_select(capture->blocks, filters, (size_t)PyList_GET_SIZE(specifications), keep);
        chosen = error ? raise_error(error) : PyList_New(0);
        for (size_t i = 0; chosen && i < capture->blocks->count && (Py_ssize_t)i < PyList_GET_SIZE(traces); i++) {
            if (keep[i] && PyList_Append(chosen, PyList_GET_ITEM(traces, (Py_ssize_t)i)) < 0)
                Py_CLEAR(chosen);
        }
    }
    free(keep);
    if (filters)
        free_filters(filters, PyList_GET_SIZE(specifications));
    binding->resume(token);
    return chosen;
}
