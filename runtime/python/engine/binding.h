/* SPDX-License-Identifier: MIT */
/*
 * tm._engine: the engine (reader/) under tm.Snapshot.  A face like any other: it hands the engine blocks and turns its
 * answers into objects.  The files:
 *
 *   module.c   the module: what it is told by tm/_classes.py, errors
 *   capture.c  the type Capture: a lazy sequence of traces
 *   list.c     a Capture made from a list of traces, as pickles and tests bring them
 *   groups.c   statistics and differences -> Statistic, StatisticDiff, Traceback
 *   filters.c  Filter, DomainFilter -> the engine's filters
 *
 * Objects are made while tracing is paused for the thread, so that answers do not show up in the next snapshot.
 */
#ifndef TM_BINDING_H
#define TM_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <stdbool.h>
#include <stdint.h>

#include "reader/capture.h"
#include "reader/differences.h"
#include "reader/statistics.h"

/* Free threading: the caches of a capture are filled under its lock. */
#if PY_VERSION_HEX < 0x030d0000
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

/* Attributes of a class that instances are made of without calling it. */
#define TM_MAX_SLOTS 5
struct maker {
    PyTypeObject *type;
    bool call; /* a later version's class, which may want more: call it */
    int count;
    PyObject *names[TM_MAX_SLOTS];
};

/* State of the module, one for each interpreter. */
struct binding {
    PyTypeObject *capture_type;
    PyTypeObject *frame_type; /* tm._tm.frame */
    struct maker traceback;   /* tm.Traceback */
    struct maker statistic;
    struct maker difference;
    bool has_total;          /* tracebacks know total_nframe: CPython 3.9+ */
    uint32_t (*pause)(void); /* these four come from tm._tm */
    void (*resume)(uint32_t);
    void (*walk)(tm_visit_fn visit, void *context);
    uint64_t root;
};

/* Blocks and, in the one that owns the model, the objects that were made for it so far. */
struct capture {
    PyObject_HEAD PyObject *module;
    struct capture *origin; /* owner of the model; NULL: this one */
    struct tm_capture *blocks;
    PyObject **strings;    /* per string */
    PyObject **frames;     /* per location */
    PyObject **tracebacks; /* per stack: tuples of frames, newest first */
    uint32_t *canonical;   /* per stack: the first one whose traceback is the same */
};

static inline struct binding *binding_of(PyObject *module)
{
    return PyModule_GetState(module);
}

/* ---- module.c ------------------------------------------------------------------------------------------------------- */

/* Raises, and destroys the error.  Always NULL. */
PyObject *raise_error(struct tm_error *error);
/* Steals the values, also on failure. */
PyObject *make_object(const struct maker *maker, PyObject **values);

/* ---- capture.c ------------------------------------------------------------------------------------------------------ */

extern PyType_Spec capture_spec;
struct capture *capture_new(PyObject *module, struct tm_capture *blocks, struct capture *origin);
/* (filename, lineno), with the name; new references. */
PyObject *capture_filename(struct capture *capture, uint32_t string);
PyObject *capture_frame(struct capture *capture, uint32_t location);
PyObject *capture_copy(PyObject *self, PyObject *unused);

static inline const struct tm_model *model_of(const struct capture *capture)
{
    return capture->blocks->model;
}

static inline struct capture *owner_of(struct capture *capture)
{
    return capture->origin ? capture->origin : capture;
}

/* ---- list.c ----------------------------------------------------------------------------------------------------------- */

PyObject *py_group(PyObject *module, PyObject *traces);

/* ---- groups.c --------------------------------------------------------------------------------------------------------- */

PyObject *capture_statistics(PyObject *self, PyObject *args);
PyObject *capture_compare(PyObject *self, PyObject *args);

/* ---- filters.c -------------------------------------------------------------------------------------------------------- */

PyObject *capture_filter(PyObject *self, PyObject *specifications);
PyObject *capture_select(PyObject *self, PyObject *args);

#endif
