/* SPDX-License-Identifier: MIT */
/* traceback: where the block at an address was allocated. */
#include <inttypes.h>

#include "json.h"
#include "request.h"

static void print_text(struct tm_request *request, uint64_t address, const struct tm_block *block)
{
    const struct tm_model *model = request->model;
    struct tm_text *text = &request->output->text;
    const uint64_t inside = address - block->address, size = block->size;
    const char *plural = size == 1 ? "" : "s";
    if (!inside)
        tm_text_print(text, "0x%" PRIx64 " is a block of %" PRIu64 " byte%s", address, size, plural);
    else
        tm_text_print(text, "0x%" PRIx64 " lies %" PRIu64 " byte%s into a block of %" PRIu64 " byte%s at 0x%" PRIx64,
                      address, inside, inside == 1 ? "" : "s", size, plural, block->address);
    if (block->domain)
        tm_text_print(text, " of domain %" PRIu32, block->domain);
    uint32_t shown = 0, depth = model->stacks[block->stack].depth;
    for (uint32_t stack = block->stack; stack && shown < model->frame_limit; stack = model->stacks[stack].parent)
        shown++;
    if (depth > shown && shown)
        tm_text_print(text, ", allocated at (newest %" PRIu32 " of %" PRIu32 " frames):\n", shown, depth);
    else
        tm_text_print(text, ", allocated at:\n");
    tm_print_traceback(request, block->stack, "");
}

static struct tm_error *print_json(struct tm_request *request, uint64_t address, const struct tm_block *block)
{
    const struct tm_model *model = request->model;
    struct json_object *answer = json_object_new_object();
    tm_json_put_source(answer, model);
    tm_json_put(answer, "address", tm_json_address(address));
    tm_json_put(answer, "block", tm_json_block(block));
    tm_json_put(answer, "total_nframe", json_object_new_int64(model->stacks[block->stack].depth));
    tm_json_put(answer, "traceback", tm_json_traceback(model, block->stack));
    tm_json_put_incomplete(answer, model);
    return tm_json_write(answer, request->output);
}

struct tm_error *tm_run_traceback(struct tm_request *request)
{
    uint64_t address;
    struct tm_error *error = tm_request_address(request, request->address, &address);
    if (error)
        return error;
    struct tm_block block;
    bool found;
    error = tm_model_find_block(request->model, address, &block, &found);
    if (error)
        return error;
    if (!found) {
        error = tm_error(TM_ERROR_NOT_FOUND, "0x%" PRIx64 " is not in a live traced block", address);
        if (request->model->incomplete_count && tm_model_notes(request->model))
            return tm_error_because(error, "it may be in a part of the table that is missing: %s",
                                    request->model->incomplete[0]);
        return tm_error_because(error,
                                "it was freed, was allocated before tracing began, or did not come from Python's "
                                "allocators");
    }
    if (block.stack >= request->model->stack_count)
        block.stack = 0; /* newer than what was read of a live process */
    if (!tm_selection_keeps(request->selection, block.stack, block.domain))
        return tm_error_because(tm_error(TM_ERROR_NOT_FOUND, "0x%" PRIx64 " is not among what was asked for", address),
                                "the filters leave out the block that holds it");
    if (request->json)
        return print_json(request, address, &block);
    print_text(request, address, &block);
    if (request->model->incomplete_count) {
        tm_text_print(&request->output->text, "part of the table is missing; `tm info` tells which\n");
    }
    return NULL;
}
