/* SPDX-License-Identifier: MIT */
/* The command line's standard output.  On a terminal, what is longer than the screen goes through a pager. */
#ifndef TM_PAGER_H
#define TM_PAGER_H

#include <stdbool.h>
#include <stddef.h>

/* rows: of the terminal; 0: it is none, and there is no pager. */
void tm_pager_open(unsigned rows);
/* 0, or < 0: nobody reads it any more. */
int tm_pager_write(const char *bytes, size_t size);
/* Waits until the user has read it. */
void tm_pager_close(void);
bool tm_pager_runs(void);

#endif
