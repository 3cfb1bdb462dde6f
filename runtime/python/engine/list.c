/* SPDX-License-Identifier: MIT */
/*
 * A Capture from a list of traces, (domain, size, frames[, total_nframe]): what pickles hold, and what anybody may hand to
 * Snapshot().  Only what the engine can count exactly is taken: whole numbers, strings, tuples of exactly these types.
 * For anything else the answer is None, and tm/_classes.py lets tracemalloc's own code have its way with it.
 */
#include "binding.h"

#include <string.h>

#include "reader/string_table.h"

static const struct tm_model_ops no_ops;

/* 64-bit keys -> numbers. */
struct numbers {
    uint64_t *keys;
    uint32_t *values; /* + 1 */
    size_t size;
    size_t count;
};

struct builder {
    struct tm_model *model;
    struct tm_capture *blocks;
    struct numbers names;      /* address of a str -> string */
    struct numbers frames;     /* address of a frame -> location */
    struct numbers tracebacks; /* address of a tuple of frames -> stack */
    struct numbers locations;  /* file name and line -> location */
    struct numbers stacks;     /* parent and location -> stack */
    PyObject **known_frames;   /* per location: the frame it was made from */
    uint32_t known_room;       /* 0, or as many as the model has room for locations */
    uint64_t most;             /* upper bound of any sum of sizes, each counted once for every frame */
};

enum outcome {
    TAKEN,
    STRANGE, /* not for the engine */
    FAILED,  /* with an exception, or no memory */
};

static size_t slot_of(const struct numbers *numbers, uint64_t key)
{
    size_t at = tm_mix(key) & (numbers->size - 1);
    while (numbers->values[at] && numbers->keys[at] != key)
        at = (at + 1) & (numbers->size - 1);
    return at;
}

static bool numbers_grow(struct numbers *numbers)
{
    struct numbers old = *numbers;
    numbers->size = old.size ? old.size * 2 : 256;
    numbers->keys = malloc(numbers->size * sizeof(*numbers->keys));
    numbers->values = calloc(numbers->size, sizeof(*numbers->values));
    if (!numbers->keys || !numbers->values) {
        free(numbers->keys);
        free(numbers->values);
        *numbers = old;
        return false;
    }
    for (size_t i = 0; i < old.size; i++) {
        if (old.values[i]) {
            size_t at = slot_of(numbers, old.keys[i]);
            numbers->keys[at] = old.keys[i];
            numbers->values[at] = old.values[i];
        }
    }
    free(old.keys);
    free(old.values);
    return true;
}

static bool numbers_find(const struct numbers *numbers, uint64_t key, uint32_t *ret)
{
    size_t at = numbers->size ? slot_of(numbers, key) : 0;
    if (!numbers->size || !numbers->values[at])
        return false;
    *ret = numbers->values[at] - 1;
    return true;
}

static bool numbers_add(struct numbers *numbers, uint64_t key, uint32_t value)
{
    if (numbers->count * 2 >= numbers->size && !numbers_grow(numbers))
        return false;
    size_t at = slot_of(numbers, key);
    numbers->keys[at] = key;
    numbers->values[at] = value + 1;
    numbers->count++;
    return true;
}

static void numbers_free(struct numbers *numbers)
{
    free(numbers->keys);
    free(numbers->values);
}

static enum outcome fail(struct tm_error *error)
{
    if (error)
        raise_error(error);
    else
        PyErr_NoMemory();
    return FAILED;
}

/* Objects that were looked at before are known by their address: the list keeps them alive, and no Python code runs
 * meanwhile. */
static uint64_t address_of(PyObject *object)
{
    return (uintptr_t)object;
}

static bool whole_number(PyObject *object, unsigned long long most, unsigned long long *ret)
{
    if (!PyLong_CheckExact(object))
        return false;
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow || value < 0 || (unsigned long long)value > most)
        return false;
    *ret = (unsigned long long)value;
    return true;
}

static enum outcome add_name(struct builder *builder, PyObject *name, uint32_t *ret)
{
    if (numbers_find(&builder->names, address_of(name), ret))
        return TAKEN;
    if (!PyUnicode_CheckExact(name))
        return STRANGE;
    PyObject *bytes = PyUnicode_AsEncodedString(name, "utf-8", "surrogatepass");
    if (!bytes)
        return FAILED;
    struct tm_error *error = NULL;
    bool fits = PyBytes_GET_SIZE(bytes) < INT32_MAX;
    if (fits)
        error = tm_model_string(builder->model, PyBytes_AS_STRING(bytes), (uint32_t)PyBytes_GET_SIZE(bytes), true, ret);
    Py_DECREF(bytes);
    if (error)
        return fail(error);
    if (!fits)
        return STRANGE;
    return numbers_add(&builder->names, address_of(name), *ret) ? TAKEN : fail(NULL);
}

static bool keep_frame(struct builder *builder, uint32_t location, PyObject *frame)
{
    if (location >= builder->known_room) {
        uint32_t room = builder->model->location_room;
        PyObject **frames = reallocarray(builder->known_frames, room, sizeof(PyObject *));
        if (!frames)
            return false;
        memset(frames + builder->known_room, 0, (room - builder->known_room) * sizeof(PyObject *));
        builder->known_frames = frames;
        builder->known_room = room;
    }
    Py_INCREF(frame);
    builder->known_frames[location] = frame;
    return true;
}

static enum outcome add_frame(struct builder *builder, PyObject *frame, uint32_t *ret)
{
    if (numbers_find(&builder->frames, address_of(frame), ret))
        return TAKEN;
    unsigned long long lineno;
    uint32_t name;
    if (!PyTuple_Check(frame) || PyTuple_GET_SIZE(frame) != 2 ||
        !whole_number(PyTuple_GET_ITEM(frame, 1), UINT32_MAX, &lineno))
        return STRANGE;
    enum outcome outcome = add_name(builder, PyTuple_GET_ITEM(frame, 0), &name);
    if (outcome != TAKEN)
        return outcome;
    uint64_t key = (uint64_t)name << 32 | lineno;
    if (!numbers_find(&builder->locations, key, ret)) {
        struct tm_model_location location = {.filename = name, .lineno = (uint32_t)lineno};
        struct tm_error *error = tm_model_add_location(builder->model, location, ret);
        if (error)
            return fail(error);
        if (!numbers_add(&builder->locations, key, *ret) || !keep_frame(builder, *ret, frame))
            return fail(NULL);
    }
    return numbers_add(&builder->frames, address_of(frame), *ret) ? TAKEN : fail(NULL);
}

static enum outcome add_traceback(struct builder *builder, PyObject *frames, uint32_t *ret)
{
    if (numbers_find(&builder->tracebacks, address_of(frames), ret))
        return TAKEN;
    if (!PyTuple_CheckExact(frames) || !PyTuple_GET_SIZE(frames) || PyTuple_GET_SIZE(frames) > INT32_MAX)
        return STRANGE;
    uint32_t count = (uint32_t)PyTuple_GET_SIZE(frames), stack = 0, location;
    for (uint32_t i = count; i-- > 0;) {
        enum outcome outcome = add_frame(builder, PyTuple_GET_ITEM(frames, i), &location);
        if (outcome != TAKEN)
            return outcome;
        uint64_t key = (uint64_t)stack << 32 | location;
        if (numbers_find(&builder->stacks, key, &stack))
            continue;
        struct tm_stack_node node = {.parent = stack, .location = location, .depth = count - i};
        struct tm_error *error = tm_model_add_stack(builder->model, node, &stack);
        if (error)
            return fail(error);
        if (!numbers_add(&builder->stacks, key, stack))
            return fail(NULL);
    }
    if (builder->model->frame_limit < count)
        builder->model->frame_limit = count;
    *ret = stack;
    return numbers_add(&builder->tracebacks, address_of(frames), stack) ? TAKEN : fail(NULL);
}

static enum outcome add_trace(struct builder *builder, PyObject *trace)
{
    unsigned long long domain, size;
    uint32_t stack;
    if (!PyTuple_Check(trace) || PyTuple_GET_SIZE(trace) < 3 || PyTuple_GET_SIZE(trace) > 4 ||
        !whole_number(PyTuple_GET_ITEM(trace, 0), UINT32_MAX, &domain) ||
        !whole_number(PyTuple_GET_ITEM(trace, 1), INT64_MAX, &size))
        return STRANGE;
    enum outcome outcome = add_traceback(builder, PyTuple_GET_ITEM(trace, 2), &stack);
    if (outcome != TAKEN)
        return outcome;
    uint64_t weight;
    if (__builtin_mul_overflow((uint64_t)size, (uint64_t)builder->model->stacks[stack].depth, &weight) ||
        __builtin_add_overflow(builder->most, weight, &builder->most) || builder->most > INT64_MAX)
        return STRANGE;
    struct tm_error *error = tm_capture_add(builder->blocks, (struct tm_captured){size, stack, (uint32_t)domain});
    return error ? fail(error) : TAKEN;
}

static enum outcome add_all(struct builder *builder, PyObject *list)
{
    enum outcome outcome = TAKEN;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list) && outcome == TAKEN; i++)
        outcome = add_trace(builder, PyList_GET_ITEM(list, i));
    return outcome;
}

/* group(list of traces) -> Capture, or None */
PyObject *py_group(PyObject *module, PyObject *traces)
{
    struct binding *binding = binding_of(module);
    struct builder builder = {0};
    struct capture *capture = NULL;
    if (!PyList_CheckExact(traces))
        Py_RETURN_NONE;
    uint32_t token = binding->pause();
    struct tm_error *error = tm_model_create(&no_ops, NULL, &builder.model);
    if (!error)
        error = tm_capture_create(builder.model, &builder.blocks);
    if (error && builder.model)
        tm_model_destroy(builder.model);
    enum outcome outcome = error ? fail(error) : add_all(&builder, traces);
    if (outcome == TAKEN) {
        error = tm_capture_finish(builder.blocks);
        outcome = error ? fail(error) : TAKEN;
    }
    if (outcome == TAKEN) {
        capture = capture_new(module, builder.blocks, NULL);
        builder.blocks = NULL;
    }
    for (uint32_t i = 0; !capture && i < builder.known_room; i++)
        Py_XDECREF(builder.known_frames[i]);
    if (capture)
        capture->frames = builder.known_frames;
    else
        free(builder.known_frames);
    tm_capture_destroy(builder.blocks);
    numbers_free(&builder.names);
    numbers_free(&builder.frames);
    numbers_free(&builder.tracebacks);
    numbers_free(&builder.locations);
    numbers_free(&builder.stacks);
    binding->resume(token);
    if (outcome == STRANGE)
        Py_RETURN_NONE;
    return (PyObject *)capture;
}
