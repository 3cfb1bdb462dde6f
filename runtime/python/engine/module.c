/* SPDX-License-Identifier: MIT */
#include "binding.h"

PyObject *raise_error(struct tm_error *error)
{
    if (error->code == TM_ERROR_NO_MEMORY)
        PyErr_NoMemory();
    else if (error->because)
        PyErr_Format(PyExc_RuntimeError, "%s: %s", error->what, error->because);
    else
        PyErr_SetString(PyExc_RuntimeError, error->what);
    tm_error_destroy(error);
    return NULL;
}

static PyObject *call_maker(const struct maker *maker, PyObject **values)
{
    PyObject *args = PyTuple_New(maker->count);
    for (int i = 0; i < maker->count; i++) {
        if (args)
            PyTuple_SET_ITEM(args, i, values[i]);
        else
            Py_XDECREF(values[i]);
    }
    PyObject *made = args ? PyObject_Call((PyObject *)maker->type, args, NULL) : NULL;
    Py_XDECREF(args);
    return made;
}

PyObject *make_object(const struct maker *maker, PyObject **values)
{
    bool whole = true;
    for (int i = 0; i < maker->count; i++)
        whole &= values[i] != NULL;
    if (whole && maker->call)
        return call_maker(maker, values);
    PyObject *made = whole ? maker->type->tp_alloc(maker->type, 0) : NULL;
    for (int i = 0; i < maker->count; i++) {
        if (made && PyObject_SetAttr(made, maker->names[i], values[i]) < 0)
            Py_CLEAR(made);
        Py_XDECREF(values[i]);
    }
    return made;
}

/* ---- what tm/_classes.py says ----------------------------------------------------------------------------------------- */

static void maker_clear(struct maker *maker)
{
    Py_CLEAR(maker->type);
    for (int i = 0; i < TM_MAX_SLOTS; i++)
        Py_CLEAR(maker->names[i]);
}

static int maker_set(struct maker *maker, PyObject *type, bool call, int count, const char *const *names)
{
    if (!PyType_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "a class is wanted");
        return -1;
    }
    maker_clear(maker);
    Py_INCREF(type);
    *maker = (struct maker){.type = (PyTypeObject *)type, .call = call, .count = count};
    for (int i = 0; i < count; i++) {
        maker->names[i] = PyUnicode_InternFromString(names[i]);
        if (!maker->names[i])
            return -1;
    }
    return 0;
}

/* setup(frame, Traceback, Statistic, StatisticDiff, call): call says that these classes have other attributes than those
 * known here. */
static PyObject *py_setup(PyObject *module, PyObject *args)
{
    static const char *const traceback_names[] = {"_frames", "_total_nframe"};
    static const char *const statistic_names[] = {"traceback", "size", "count"};
    static const char *const difference_names[] = {"traceback", "size", "size_diff", "count", "count_diff"};
    struct binding *binding = binding_of(module);
    PyObject *frame, *traceback, *statistic, *difference;
    int call;
    if (!PyArg_ParseTuple(args, "OOOOp:setup", &frame, &traceback, &statistic, &difference, &call))
        return NULL;
    binding->has_total = PyObject_HasAttrString(traceback, "_total_nframe");
    if (maker_set(&binding->traceback, traceback, call, call ? 1 : 1 + binding->has_total, traceback_names) ||
        maker_set(&binding->statistic, statistic, call, 3, statistic_names) ||
        maker_set(&binding->difference, difference, call, 5, difference_names))
        return NULL;
    Py_INCREF(frame);
    Py_XDECREF(binding->frame_type);
    binding->frame_type = (PyTypeObject *)frame;
    /* The runtime's own module; whoever imports this one has imported that one before. */
    void *const *api = PyCapsule_Import("tm._tm._for_engine", 0);
    if (!api)
        return NULL;
    binding->pause = (uint32_t(*)(void))api[0];
    binding->resume = (void (*)(uint32_t))api[1];
    binding->walk = (void (*)(tm_visit_fn, void *))api[2];
    binding->root = (uintptr_t)api[3];
    Py_RETURN_NONE;
}

/* capture() -> Capture of this process */
static PyObject *py_capture(PyObject *module, PyObject *unused)
{
    struct binding *binding = binding_of(module);
    struct tm_capture *blocks = NULL;
    (void)unused;
    if (!binding->walk) {
        PyErr_SetString(PyExc_RuntimeError, "tm._engine was not set up");
        return NULL;
    }
    struct tm_error *error = tm_capture_self(binding->root, binding->walk, &blocks);
    if (error)
        return raise_error(error);
    uint32_t token = binding->pause();
    struct capture *capture = capture_new(module, blocks, NULL);
    binding->resume(token);
    return (PyObject *)capture;
}

static PyMethodDef methods[] = {
    {"setup", py_setup, METH_VARARGS, NULL},
    {"capture", py_capture, METH_NOARGS, NULL},
    {"group", py_group, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module)
{
    struct binding *binding = binding_of(module);
    binding->capture_type = (PyTypeObject *)PyType_FromSpec(&capture_spec);
    if (!binding->capture_type)
        return -1;
    Py_INCREF(binding->capture_type);
    return PyModule_AddObject(module, "Capture", (PyObject *)binding->capture_type);
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    struct binding *binding = binding_of(module);
    if (!binding)
        return 0;
    Py_VISIT(binding->capture_type);
    Py_VISIT(binding->frame_type);
    Py_VISIT(binding->traceback.type);
    Py_VISIT(binding->statistic.type);
    Py_VISIT(binding->difference.type);
    return 0;
}

static int clear(PyObject *module)
{
    struct binding *binding = binding_of(module);
    if (!binding)
        return 0;
    Py_CLEAR(binding->capture_type);
    Py_CLEAR(binding->frame_type);
    maker_clear(&binding->traceback);
    maker_clear(&binding->statistic);
    maker_clear(&binding->difference);
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
    PyModuleDef_HEAD_INIT,
    .m_name = "tm._engine",
    .m_doc = "The engine under tm.Snapshot.",
    .m_size = sizeof(struct binding),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

/* CPython 3.8 does not export it by itself. */
__attribute__((visibility("default"))) PyMODINIT_FUNC PyInit__engine(void);

PyMODINIT_FUNC PyInit__engine(void)
{
    return PyModuleDef_Init(&definition);
}
