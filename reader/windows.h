/* SPDX-License-Identifier: MIT */
/*
 * Tracebacks as windows on stacks: the newest frame_limit frames.  Whether two windows are alike, and where a window
 * ends, are answered without walking it, so that a million stacks of a thousand frames cost no more than their number.
 */
#ifndef TM_WINDOWS_H
#define TM_WINDOWS_H

#include "model.h"

struct tm_window_key {
    uint64_t high;
    uint64_t low;
};

struct tm_windows {
    const struct tm_model *model;
    const uint32_t *lines; /* per location: equal for locations that are to be alike */
    uint32_t limit;
    uint32_t *depth;            /* frames recorded, per stack */
    uint32_t *jump;             /* an older stack some way down; see windows.c */
    struct tm_window_key *key;  /* of the whole stack; NULL if keys were not asked for */
    struct tm_window_key power; /* of the base: limit */
};

struct tm_error *tm_windows_init(struct tm_windows *windows, const struct tm_model *model, const uint32_t *lines,
                                 bool keys);
void tm_windows_deinit(struct tm_windows *windows);
/* The stack below the window of `stack`; 0: the window shows all of it. */
uint32_t tm_window_end(const struct tm_windows *windows, uint32_t stack);
/* Equal for stacks whose windows show the same lines, different for others. */
struct tm_window_key tm_window_key(const struct tm_windows *windows, uint32_t stack);

#endif
