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

#include "reader/statistics.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct tm_error *take(void *context, const struct tm_block *blocks, size_t count)
{
    const struct tm_model *model = context;
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].stack >= model->stack_count)
            abort();
    }
    return NULL;
}

static void ignore_finding(void *context, const char *finding)
{
    *(size_t *)context += strlen(finding);
}

static void ask(struct tm_model *model)
{
    struct tm_block block;
    bool found;
    size_t length = 0;
    for (uint32_t i = 1; i < model->stack_count; i++) {
        if (model->stacks[i].parent >= i || model->stacks[i].location >= model->location_count)
            abort();
    }
    tm_error_destroy(tm_model_find_block(model, UINT64_C(0x7e0000001100), &block, &found));
    tm_error_destroy(tm_model_each_block(model, take, model));
    if (model->ops->check)
        tm_error_destroy(model->ops->check(model, ignore_finding, &length));
    for (int i = 0; i < 4; i++) {
        struct tm_statistics statistics;
        struct tm_error *error = tm_statistics_make(model, NULL, i, i > 1, 10, &statistics);
        if (!error)
            tm_statistics_free(&statistics);
        tm_error_destroy(error);
    }
}

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
        ask(model);
    tm_model_destroy(model);
    tm_target_destroy(target);
    tm_error_destroy(error);
    return 0;
}
