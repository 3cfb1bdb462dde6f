/* SPDX-License-Identifier: MIT */
#ifndef TM_LINES_H
#define TM_LINES_H

#include "frames.h"

/* Line number of a position in a code object, as PyCode_Addr2Line gives it, from the object's bytes alone; 0 where the
 * table says that there is none. */
uint32_t tm_code_line(const PyCodeObject *code, intptr_t offset);

#endif
