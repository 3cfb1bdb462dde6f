/* SPDX-License-Identifier: MIT */
#ifndef TM_LINES_H
#define TM_LINES_H

#include "frames.h"

/* Line number of a position in a code object, as PyCode_Addr2Line gives it, from the object's bytes alone; 0 where the
 * table says that there is none.  All of these run under intern.c's lock.  `lasting`: tm_lines_forget() will be called
 * before the object's memory is used again, so what was learnt of its table may be kept. */
uint32_t tm_code_line(const PyCodeObject *code, intptr_t offset, bool lasting);
void tm_lines_forget(uintptr_t code);
void tm_lines_forget_all(void);
/* Entries of tables decoded so far: tests count them. */
extern uint64_t tm_lines_work;

#endif
