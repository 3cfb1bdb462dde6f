/* SPDX-License-Identifier: MIT */
/* Compressed files with anything in them: unpacking ends, in a descriptor or in an error. */
#define _GNU_SOURCE /* memfd_create */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reader/image.h"

#define ENOUGH (1 << 24)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint64_t asked;

/* A few bytes can hold gigabytes: enough is enough. */
static int32_t interrupted(void *data)
{
    (void)data;
    return ++asked > ENOUGH >> 20;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct tm_face face = {.size = sizeof(face), .interrupted = interrupted};
    static int file = -1;
    int unpacked = -1;
    bool truncated = false;
    struct stat status;
    setenv("TMPDIR", "/dev/shm", 0);
    if (file < 0)
        file = memfd_create("packed", MFD_CLOEXEC);
    asked = 0;
    if (ftruncate(file, (off_t)size) || pwrite(file, bytes, size, 0) != (ssize_t)size || lseek(file, 0, SEEK_SET))
        return 0;
    struct tm_error *error = tm_unpack(&face, file, "fuzz", &unpacked, &truncated);
    if (!error && (fstat(unpacked, &status) || status.st_size > 2 * ENOUGH))
        abort();
    if (!error)
        close(unpacked);
    tm_error_destroy(error);
    return 0;
}
