/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* vasprintf */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct tm_error tm_no_memory = {
    .code = TM_ERROR_NO_MEMORY,
    .what = (char *)"out of memory",
};

static char *format(const char *text, va_list arguments)
{
    char *ret = NULL;
    return vasprintf(&ret, text, arguments) < 0 ? NULL : ret;
}

struct tm_error *tm_error(enum tm_error_code code, const char *what, ...)
{
    struct tm_error *error = calloc(1, sizeof(*error));
    if (!error)
        return &tm_no_memory;
    va_list arguments;
    va_start(arguments, what);
    error->what = format(what, arguments);
    va_end(arguments);
    if (!error->what) {
        free(error);
        return &tm_no_memory;
    }
    error->code = code;
    return error;
}

struct tm_error *tm_error_because(struct tm_error *error, const char *because, ...)
{
    if (error == &tm_no_memory)
        return error;
    free(error->because);
    va_list arguments;
    va_start(arguments, because);
    error->because = format(because, arguments);
    va_end(arguments);
    return error;
}

struct tm_error *tm_error_try(struct tm_error *error, const char *next, ...)
{
    if (error == &tm_no_memory)
        return error;
    free(error->next);
    va_list arguments;
    va_start(arguments, next);
    error->next = format(next, arguments);
    va_end(arguments);
    return error;
}

void tm_error_destroy(struct tm_error *error)
{
    if (!error || error == &tm_no_memory)
        return;
    free(error->what);
    free(error->because);
    free(error->next);
    free(error);
}
