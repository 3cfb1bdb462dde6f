/* SPDX-License-Identifier: MIT */
#include "capture.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/layout.h"

struct tm_error *tm_capture_create(struct tm_model *model, struct tm_capture **ret)
{
    struct tm_capture *capture = calloc(1, sizeof(*capture));
    if (!capture)
        return tm_error_no_memory();
    capture->model = model;
    *ret = capture;
    return NULL;
}

void tm_capture_destroy(struct tm_capture *capture)
{
    if (!capture)
        return;
    if (!capture->borrowed) {
        tm_model_destroy(capture->model);
        tm_target_destroy(capture->target);
    }
    free(capture->blocks);
    free(capture->totals);
    free(capture);
}

static struct tm_error *reserve(struct tm_capture *capture, size_t count)
{
    if (count <= capture->room)
        return NULL;
    size_t room = capture->room ? capture->room * 2 : 1024;
    if (room < count)
        room = count;
    struct tm_captured *blocks = reallocarray(capture->blocks, room, sizeof(*blocks));
    if (!blocks)
        return tm_error_no_memory();
    capture->blocks = blocks;
    capture->room = room;
    return NULL;
}

struct tm_error *tm_capture_add(struct tm_capture *capture, struct tm_captured block)
{
    struct tm_error *error = reserve(capture, capture->count + 1);
    if (!error)
        capture->blocks[capture->count++] = block;
    return error;
}

struct tm_error *tm_capture_finish(struct tm_capture *capture)
{
    capture->totals = calloc(capture->model->stack_count, sizeof(*capture->totals));
    if (!capture->totals)
        return tm_error_no_memory();
    for (size_t i = 0; i < capture->count; i++) {
        struct tm_total *total = &capture->totals[capture->blocks[i].stack];
        total->bytes = tm_sum(total->bytes, (int64_t)capture->blocks[i].size);
        total->blocks++;
    }
    return NULL;
}

/* ---- this process --------------------------------------------------------------------------------------------------- */

static struct tm_fault self_read(struct tm_target *target, uint64_t address, void *buffer, uint64_t size)
{
    (void)target;
    memcpy(buffer, (const void *)(uintptr_t)address, size);
    return (struct tm_fault){TM_READ_OK, address + size};
}

static const void *self_view(struct tm_target *target, uint64_t address, uint64_t size)
{
    (void)target;
    (void)size;
    return (const void *)(uintptr_t)address;
}

static void self_destroy(struct tm_target *target)
{
    free(target);
}

static const struct tm_target_ops self_ops = {
    .read = self_read,
    .view = self_view,
    .destroy = self_destroy,
};

/* Its own table is trusted: all memory counts as readable.  Only the root's page is marked as writable, because that is
 * what the search for roots looks through. */
static struct tm_error *open_self(uint64_t root, struct tm_target **ret)
{
    struct tm_target *target = calloc(1, sizeof(*target));
    if (!target)
        return tm_error_no_memory();
    target->ops = &self_ops;
    target->name = strdup("this process");
    target->live = true; /* its other threads go on */
    const uint64_t borders[] = {4096, root, root + sizeof(struct tm_root), UINT64_C(1) << 48};
    size_t room = 0;
    struct tm_error *error = target->name ? NULL : tm_error_no_memory();
    for (int i = 0; i < 3 && !error; i++) {
        const struct tm_region region = {
            .start = borders[i],
            .end = borders[i + 1],
            .saved = borders[i + 1] - borders[i],
            .flags = TM_REGION_READ | (i == 1 ? TM_REGION_WRITE : 0),
        };
        error = tm_regions_add(target, &room, &region);
    }
    if (error)
        tm_target_destroy(target);
    else
        *ret = target;
    return error;
}

struct taker {
    struct tm_capture *capture;
    struct tm_error *error;
};

static void take_block(void *context, uint64_t address, uint64_t size, uint32_t stack, uint32_t domain)
{
    struct taker *taker = context;
    (void)address;
    if (!taker->error)
        taker->error = tm_capture_add(taker->capture, (struct tm_captured){size, stack, domain});
}

struct tm_error *tm_capture_self(uint64_t root, void (*walk)(tm_visit_fn visit, void *context), struct tm_capture **ret)
{
    struct taker taker = {0};
    taker.error = tm_capture_create(NULL, &taker.capture);
    if (taker.error)
        return taker.error;
    struct tm_capture *capture = taker.capture;
    /* Blocks first: whatever stacks they have are in the table when that is read, even if threads that need no GIL go on
     * allocating. */
    walk(take_block, &taker);
    struct tm_error *error = taker.error;
    if (!error)
        error = open_self(root, &capture->target);
    if (!error)
        error = tm_layout_decoder.open(capture->target, &capture->model);
    if (!error && !capture->model)
        error = tm_error(TM_ERROR_NO_TABLE, "there is no trace table in this process");
    if (error || !capture->model) {
        tm_capture_destroy(capture);
        return error;
    }
    for (size_t i = 0; i < capture->count; i++) {
        if (capture->blocks[i].stack >= capture->model->stack_count)
            capture->blocks[i].stack = 0;
    }
    error = tm_capture_finish(capture);
    if (error)
        tm_capture_destroy(capture);
    else
        *ret = capture;
    return error;
}

/* ---- filters -------------------------------------------------------------------------------------------------------- */

struct tm_error *tm_capture_select(const struct tm_capture *capture, const struct tm_filter *filters, size_t count,
                                   uint8_t *keep)
{
    uint8_t **hits = calloc(count + 1, sizeof(*hits));
    if (!hits)
        return tm_error_no_memory();
    struct tm_error *error = NULL;
    bool any_inclusive = false;
    for (size_t j = 0; j < count && !error; j++) {
        any_inclusive |= filters[j].inclusive;
        error = tm_filter_stacks(capture->model, &filters[j], &hits[j]);
    }
    for (size_t i = 0; i < capture->count && !error; i++) {
        const struct tm_captured *block = &capture->blocks[i];
        bool included = !any_inclusive, excluded = false;
        for (size_t j = 0; j < count && !excluded; j++) {
            bool hit =
                (!hits[j] || hits[j][block->stack]) && (!filters[j].by_domain || filters[j].domain == block->domain);
            if (filters[j].inclusive)
                included |= hit;
            else
                excluded = hit;
        }
        keep[i] = included && !excluded;
    }
    for (size_t j = 0; j < count; j++)
        free(hits[j]);
    free(hits);
    return error;
}

struct tm_error *tm_capture_filter(const struct tm_capture *capture, const struct tm_filter *filters, size_t count,
                                   struct tm_capture **ret)
{
    struct tm_capture *chosen = NULL;
    uint8_t *keep = malloc(capture->count + 1);
    struct tm_error *error = keep ? tm_capture_create(capture->model, &chosen) : tm_error_no_memory();
    if (!error) {
        chosen->borrowed = true;
        error = tm_capture_select(capture, filters, count, keep);
    }
    for (size_t i = 0; i < capture->count && !error; i++) {
        if (keep[i])
            error = tm_capture_add(chosen, capture->blocks[i]);
    }
    if (!error)
        error = tm_capture_finish(chosen);
    free(keep);
    if (error)
        tm_capture_destroy(chosen);
    else
        *ret = chosen;
    return error;
}
