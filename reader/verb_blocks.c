/* SPDX-License-Identifier: MIT */
/* blocks: the biggest single blocks. */
#define _GNU_SOURCE /* reallocarray */
#include <inttypes.h>
#include <stdlib.h>

#include "grid.h"
#include "json.h"
#include "request.h"
#include "statistics.h"

struct biggest {
    struct tm_block *heap; /* the smallest of those kept on top */
    size_t count;
    size_t allocated;
    size_t room; /* how many are wanted */
    uint64_t min_size;
    const struct tm_selection *selection;
    uint64_t all_size;
    uint64_t all_count;
};

static bool before(const struct tm_block *left, const struct tm_block *right)
{
    if (left->size != right->size)
        return left->size > right->size;
    if (left->domain != right->domain)
        return left->domain < right->domain;
    return left->address < right->address;
}

static int compare(const void *left, const void *right)
{
    return before(left, right) ? -1 : before(right, left);
}

static void sift_down(struct biggest *biggest, size_t at)
{
    for (;;) {
        size_t last = at, child = at * 2 + 1;
        for (size_t end = child + 2; child < end && child < biggest->count; child++) {
            if (before(&biggest->heap[last], &biggest->heap[child]))
                last = child;
        }
        if (last == at)
            return;
        struct tm_block moved = biggest->heap[at];
        biggest->heap[at] = biggest->heap[last];
        biggest->heap[last] = moved;
        at = last;
    }
}

static bool grow(struct biggest *biggest)
{
    size_t more = biggest->allocated ? biggest->allocated * 2 : 1024;
    struct tm_block *heap = reallocarray(biggest->heap, more, sizeof(*heap));
    if (!heap)
        return false;
    biggest->heap = heap;
    biggest->allocated = more;
    return true;
}

static struct tm_error *take(void *context, const struct tm_block *blocks, size_t count)
{
    struct biggest *biggest = context;
    for (size_t i = 0; i < count; i++) {
        if (blocks[i].size < biggest->min_size ||
            !tm_selection_keeps(biggest->selection, blocks[i].stack, blocks[i].domain))
            continue;
        biggest->all_size += blocks[i].size;
        biggest->all_count++;
        if (biggest->count < biggest->room) {
            if (biggest->count == biggest->allocated && !grow(biggest))
                return tm_error_no_memory();
            biggest->heap[biggest->count++] = blocks[i];
            if (biggest->count == biggest->room) {
                for (size_t at = biggest->count / 2; at-- > 0;)
                    sift_down(biggest, at);
            }
        } else if (before(&blocks[i], &biggest->heap[0])) {
            biggest->heap[0] = blocks[i];
            sift_down(biggest, 0);
        }
    }
    return NULL;
}

static void print_plain(struct tm_request *request, const struct biggest *biggest)
{
    struct tm_text *text = &request->output->text;
    for (size_t i = 0; i < biggest->count && !request->output->closed; i++) {
        const struct tm_block *block = &biggest->heap[i];
        uint32_t location = request->model->stacks[block->stack].location;
        tm_text_print(text, "0x%012" PRIx64 ": size=", block->address);
        tm_text_add_size(text, (double)block->size, false);
        if (block->domain)
            tm_text_print(text, ", domain=%" PRIu32, block->domain);
        tm_text_print(text, ", ");
        tm_print_place(request, location);
        tm_text_print(text, "\n");
        if (tm_traceback_length(request->model, block->stack) > 1)
            tm_print_traceback(request, block->stack, "  ");
        else
            tm_print_source_line(request, location, "    ");
        tm_output_some(request->output);
    }
}

static struct tm_error *print_grid(struct tm_request *request, const struct biggest *biggest)
{
    static const struct tm_grid_column columns[] = {
        {"ADDRESS", TM_GRID_NUMBER}, {"SIZE", TM_GRID_NUMBER},  {"DOMAIN", TM_GRID_NUMBER},
        {"WHERE", TM_GRID_PLACE},    {"SOURCE", TM_GRID_ASIDE},
    };
    struct tm_grid *grid = NULL;
    struct tm_text row = {0};
    struct tm_error *error = tm_grid_create(request, columns, request->no_source ? 4 : 5, &grid);
    for (size_t i = 0; i < biggest->count && !error; i++) {
        const struct tm_block *block = &biggest->heap[i];
        uint32_t location = request->model->stacks[block->stack].location;
        tm_text_print(&row, "0x%012" PRIx64, block->address);
        tm_grid_next(&row);
        tm_text_add_size(&row, (double)block->size, false);
        tm_grid_next(&row);
        if (block->domain)
            tm_text_print(&row, "%" PRIu32, block->domain);
        tm_grid_next(&row);
        tm_text_group(&row, request->model, TM_GROUP_LINENO, location);
        tm_grid_next(&row);
        tm_text_source_line(&row, request, location);
        tm_grid_next(&row);
        error = tm_grid_row(grid, &row);
    }
    return tm_grid_end(grid, &row, error, request->output);
}

static struct tm_error *print_text(struct tm_request *request, const struct biggest *biggest)
{
    struct tm_text *text = &request->output->text;
    struct tm_error *error = NULL;
    tm_print_header(request);
    tm_text_print(text, "\n");
    if (tm_grid_wanted(request) && request->model->frame_limit == 1)
        error = print_grid(request, biggest);
    else
        print_plain(request, biggest);
    uint64_t rest = biggest->all_count - biggest->count;
    if (rest) {
        uint64_t size = biggest->all_size;
        for (size_t i = 0; i < biggest->count; i++)
            size -= biggest->heap[i].size;
        tm_text_print(text, "%" PRIu64 " other blocks: size=", rest);
        tm_text_add_size(text, (double)size, false);
        tm_text_print(text, "\n");
    }
    if (!biggest->all_count)
        tm_text_print(text, "no live blocks%s\n", request->min_size ? " of that size" : "");
    return error;
}

static struct tm_error *print_json(struct tm_request *request, const struct biggest *biggest)
{
    const struct tm_model *model = request->model;
    struct json_object *answer = json_object_new_object();
    struct tm_json_list list;
    tm_json_put_source(answer, model);
    tm_json_put_total(answer, model);
    tm_json_put_selected(answer, request);
    tm_json_put_incomplete(answer, model);
    struct tm_error *error = tm_json_begin(answer, "blocks", request->output, &list);
    for (size_t i = 0; i < biggest->count && !error; i++) {
        const struct tm_block *block = &biggest->heap[i];
        struct json_object *entry = tm_json_block(block);
        tm_json_put(entry, "traceback", tm_json_traceback(model, block->stack));
        if (!tm_json_item(&list, entry))
            break;
    }
    return error ? error : tm_json_end(&list);
}

/* The heap becomes a sorted list; it is to be freed also after an error. */
static struct tm_error *find(const struct tm_request *request, struct biggest *biggest)
{
    biggest->selection = request->selection;
    struct tm_error *error = tm_model_each_block(request->model, take, biggest);
    if (!error && biggest->count)
        qsort(biggest->heap, biggest->count, sizeof(*biggest->heap), compare);
    return error;
}

struct tm_error *tm_blocks_biggest(const struct tm_request *request, uint64_t limit, struct tm_block **ret,
                                   size_t *count)
{
    struct biggest biggest = {.room = limit};
    struct tm_error *error = find(request, &biggest);
    if (error) {
        free(biggest.heap);
        return error;
    }
    *ret = biggest.heap;
    *count = biggest.count;
    return NULL;
}

struct tm_error *tm_run_blocks(struct tm_request *request)
{
    struct biggest biggest = {
        .room = request->all     ? SIZE_MAX
                : request->limit ? request->limit
                                 : 10,
        .min_size = request->min_size,
    };
    struct tm_error *error = find(request, &biggest);
    if (!error)
        error = request->json ? print_json(request, &biggest) : print_text(request, &biggest);
    free(biggest.heap);
    return error;
}
