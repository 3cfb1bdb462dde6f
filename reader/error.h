/* SPDX-License-Identifier: MIT */
/*
 * Errors that speak.  A fallible function returns a struct tm_error *: NULL means fine, anything else is owned by the
 * caller, who hands it on or destroys it.  Out-parameters come last, are called `ret`, and are set only on success.
 *
 * An error carries what happened, the likely reason, and the next thing to type:
 *
 *     return tm_error_try(tm_error_because(tm_error(TM_ERROR_NO_TABLE, "there is no trace table in %s", name),
 *                                          "the program was not started under tm"),
 *                         "tm run -- python3 app.py");
 */
#ifndef TM_ERROR_H
#define TM_ERROR_H

#include <stdint.h>

enum tm_error_code {
    TM_ERROR_NO_MEMORY = 1,
    TM_ERROR_USAGE,       /* unknown verb, option, bad number */
    TM_ERROR_SYSTEM,      /* a system call failed */
    TM_ERROR_NOT_A_CORE,  /* the file is something else */
    TM_ERROR_GONE,        /* no such process */
    TM_ERROR_DENIED,      /* no permission */
    TM_ERROR_MEMORY,      /* bytes of the target cannot be read; see tm_outcome */
    TM_ERROR_NO_TABLE,    /* neither tm nor tracemalloc was loaded */
    TM_ERROR_NOT_STARTED, /* loaded, but tracing was never started */
    TM_ERROR_VERSION,     /* the table is newer than this reader */
    TM_ERROR_DAMAGED,     /* the table is there, but cannot be understood */
    TM_ERROR_NOT_FOUND,   /* no block at that address */
    TM_ERROR_INTERRUPTED,
};

struct tm_error {
    enum tm_error_code code;
    char *what;    /* no capital letter, no full stop: it follows "tm: " */
    char *because; /* or NULL */
    char *next;    /* what to type; or NULL */
};

__attribute__((format(printf, 2, 3), warn_unused_result, returns_nonnull)) struct tm_error *
tm_error(enum tm_error_code code, const char *what, ...);
/* Add to an error and return it. */
__attribute__((format(printf, 2, 3), warn_unused_result, returns_nonnull)) struct tm_error *
tm_error_because(struct tm_error *error, const char *because, ...);
__attribute__((format(printf, 2, 3), warn_unused_result, returns_nonnull)) struct tm_error *
tm_error_try(struct tm_error *error, const char *next, ...);
/* Needs no memory; may be destroyed like any other. */
extern struct tm_error tm_no_memory;
static inline struct tm_error *tm_error_no_memory(void)
{
    return &tm_no_memory;
}

void tm_error_destroy(struct tm_error *error);

#endif
