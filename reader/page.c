/* SPDX-License-Identifier: MIT */
#include "page.h"

#ifdef TM_HTML_PAGE /* a path: the Makefile says so if `make web` has made it */

__asm__(".pushsection .rodata\n"
        ".local tm_page_begin\n"
        "tm_page_begin:\n"
        ".incbin \"" TM_HTML_PAGE "\"\n"
        ".local tm_page_end\n"
        "tm_page_end:\n"
        ".byte 0\n"
        ".popsection\n");

extern const char tm_page_begin[], tm_page_end[];

const char *tm_page(void)
{
    return tm_page_begin;
}

size_t tm_page_size(void)
{
    return (size_t)(tm_page_end - tm_page_begin);
}

#else

const char *tm_page(void)
{
    return "";
}

size_t tm_page_size(void)
{
    return 0;
}

#endif
