/* SPDX-License-Identifier: MIT */
/* dump: a snapshot file, which can leave the machine that the core must not leave. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "request.h"
#include "snapshot.h"

static void print_text(struct tm_request *request, const struct tm_snapshot_written *written)
{
    struct tm_text *text = &request->output->text;
    tm_text_add_name(text, (struct tm_string_ref){request->file, (uint32_t)strlen(request->file)});
    tm_text_print(text, ": %" PRIu64 " stacks, ", written->stacks);
    if (request->with_blocks)
        tm_text_print(text, "%" PRIu64 " blocks", written->blocks);
    else
        tm_text_print(text, "totals only");
    tm_text_print(text, "%s\n", request->redact ? ", names redacted" : "");
}

static struct tm_error *print_json(struct tm_request *request, const struct tm_snapshot_written *written)
{
    struct json_object *answer = json_object_new_object();
    tm_json_put_source(answer, request->model);
    tm_json_put_total(answer, request->model);
    tm_json_put_selected(answer, request);
    tm_json_put(answer, "file", tm_json_name((struct tm_string_ref){request->file, (uint32_t)strlen(request->file)}));
    tm_json_put(answer, "file_size", json_object_new_uint64(written->file_size));
    tm_json_put(answer, "stacks", json_object_new_uint64(written->stacks));
    tm_json_put(answer, "blocks", request->with_blocks ? json_object_new_uint64(written->blocks) : NULL);
    tm_json_put(answer, "redacted", json_object_new_boolean(request->redact));
    tm_json_put_incomplete(answer, request->model);
    return tm_json_write(answer, request->output);
}

struct tm_error *tm_run_dump(struct tm_request *request)
{
    const struct tm_snapshot_options options = {
        .selection = request->selection,
        .blocks = request->with_blocks,
        .redact = request->redact,
        /* Not an option: everybody can read the words of a command. */
        .redact_key = getenv("TM_REDACT_KEY"),
        .replace = request->force,
    };
    struct tm_snapshot_written written;
    struct tm_error *error = tm_snapshot_write(request->model, request->file, &options, &written);
    if (error)
        return error;
    if (request->json)
        return print_json(request, &written);
    print_text(request, &written);
    return NULL;
}
