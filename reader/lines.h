/* SPDX-License-Identifier: MIT */
/* Lines of source, if the files are still there.  The names come from the target: only regular files are opened, and what
 * is shown of them is one line. */
#ifndef TM_LINES_H
#define TM_LINES_H

#include "model.h"

struct tm_lines;

/* NULL: no memory, which only means that no lines are shown. */
struct tm_lines *tm_lines_create(const struct tm_model *model);
void tm_lines_destroy(struct tm_lines *lines);
/* The line without the white space around it; length 0: not to be had. */
struct tm_string_ref tm_lines_get(struct tm_lines *lines, uint32_t filename, uint32_t lineno);

#endif
