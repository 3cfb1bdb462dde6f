/* SPDX-License-Identifier: MIT */
/* Between intern.c and strings.c; all of it runs under intern.c's lock. */
#ifndef TM_INTERN_H
#define TM_INTERN_H

#include "frames.h"
#include "index.h"
#include "runtime.h"

bool tm_strings_init(void);
/* String of the table with this content; 0: no memory. */
uint32_t tm_intern_bytes(const char *bytes, size_t length);
/* The same for a str object, read without CPython's API. */
uint32_t tm_intern_string(PyObject *string);

#endif
