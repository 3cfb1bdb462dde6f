/* SPDX-License-Identifier: MIT */
/*
 * Table files with damage anywhere: what opens must be asked everything.  The corpus has files of a dozen pages, which are
 * whole tables (make-corpus writes them).
 */
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static int file = -1;
    char path[64];
    setenv("TMPDIR", "/dev/shm", 0); /* for those that are compressed */
    if (file < 0)
        file = memfd_create("table", MFD_CLOEXEC);
    if (ftruncate(file, 0) || ftruncate(file, (off_t)size) || pwrite(file, bytes, size, 0) != (ssize_t)size)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    struct tm_target *target = NULL;
    struct tm_model *model = NULL;
    struct tm_error *error = tm_target_open_core(NULL, path, &target);
    if (!error)
        error = tm_model_open(target, &model);
    if (model)
        ask_everything(model, UINT64_C(0x7e0000001100));
    tm_model_destroy(model);
    tm_target_destroy(target);
    tm_error_destroy(error);
    return 0;
}
