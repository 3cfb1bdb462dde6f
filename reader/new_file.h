/* SPDX-License-Identifier: MIT */
/*
 * A file that appears whole or not at all: it is written under another name in the same folder, and gets its own when
 * everything is on the disk.  Nothing that is there already is replaced, unless the caller says so.
 */
#ifndef TM_NEW_FILE_H
#define TM_NEW_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"

struct tm_new_file {
    const char *path; /* as the caller gave it */
    char *temporary;
    int fd;
    bool replace;
    uint64_t size; /* written so far */
};

/* With permissions 0600.  A file that exists is an error at once, before any work is done. */
struct tm_error *tm_new_file_open(struct tm_new_file *file, const char *path, bool replace);
/* With the permissions that the umask leaves to any new file. */
struct tm_error *tm_new_file_share(struct tm_new_file *file);
struct tm_error *tm_new_file_write(struct tm_new_file *file, const void *bytes, size_t size);
/* Over what was written before. */
struct tm_error *tm_new_file_write_at(struct tm_new_file *file, uint64_t offset, const void *bytes, size_t size);
struct tm_error *tm_new_file_finish(struct tm_new_file *file);
/* Removes what is not finished.  To be called in the end, always. */
void tm_new_file_close(struct tm_new_file *file);

#endif
