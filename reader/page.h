/* SPDX-License-Identifier: MIT */
/* The page of `export --format html`, as web/build.mjs made it: it has everything but the data. */
#ifndef TM_PAGE_H
#define TM_PAGE_H

#include <stddef.h>

/* What the page has where the data belongs. */
#define TM_PAGE_DATA "@TM-DATA@"

const char *tm_page(void);
/* 0: this build has no page. */
size_t tm_page_size(void);

#endif
