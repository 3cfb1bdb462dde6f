/* SPDX-License-Identifier: MIT */
/* info: who was traced, by whom, and how much is there. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "request.h"
#include "snapshot.h"

static void print_text(struct tm_request *request)
{
    const struct tm_model *model = request->model;
    const struct tm_target *target = model->target;
    struct tm_text *text = &request->output->text;
    tm_print_header(request);
    tm_text_print(text, "\n");
    if (target && target->program) {
        tm_text_print(text, "program:  ");
        tm_text_add_name(text, (struct tm_string_ref){target->program, (uint32_t)strlen(target->program)});
        tm_text_print(text, "\n");
    }
    if (target && target->signal) {
        tm_text_print(text, "killed:   by ");
        tm_text_signal(text, target->signal);
        tm_text_print(text, "\n");
    }
    if (target && target->truncated)
        tm_text_print(text, "core:     truncated: the file ends before the memory does\n");
    const struct tm_snapshot_identity *snapshot = tm_snapshot_identity(target);
    if (snapshot) {
        tm_text_print(text, "snapshot: taken ");
        tm_text_time(text, tm_seconds(snapshot->taken));
        tm_text_print(text, ", %s%s\n", snapshot->flags & TM_SNAPSHOT_HAS_BLOCKS ? "with single blocks" : "totals only",
                      snapshot->flags & TM_SNAPSHOT_REDACTED ? ", names redacted" : "");
    }
    tm_text_print(text, "tracing:  %s", model->tracing ? "on" : "stopped");
    if (model->started) {
        tm_text_print(text, ", last started ");
        tm_text_time(text, tm_seconds(model->started));
    }
    tm_text_print(text, "\n");
    if (model->table_bytes) {
        tm_text_print(text, "table:    ");
        tm_text_add_size(text, (double)model->table_bytes, false);
        tm_text_print(text, " mapped, ");
    } else {
        tm_text_print(text, "table:    ");
    }
    tm_text_print(text, "%" PRIu32 " stacks, %" PRIu32 " locations\n", model->stack_count - 1,
                  model->location_count - 1);
    tm_text_print(text, "lost:     %" PRIu64 " allocations\n", model->lost);
    if (model->proof)
        tm_text_print(text, "proof:    %s\n", model->proof);
    bool agree, silent;
    char *symbols = model->ops->symbols ? model->ops->symbols(request->model, &agree, &silent) : NULL;
    if (symbols) {
        tm_text_print(text, "symbols:  ");
        tm_text_add_name(text, (struct tm_string_ref){symbols, (uint32_t)strlen(symbols)});
        tm_text_print(text, "\n");
    }
    free(symbols);
}

static struct tm_error *print_json(struct tm_request *request)
{
    const struct tm_model *model = request->model;
    const struct tm_target *target = model->target;
    struct json_object *answer = json_object_new_object(), *table = json_object_new_object();
    tm_json_put_process(answer, model);
    tm_json_put_total(answer, model);
    tm_json_put_selected(answer, request);
    tm_json_put(table, "bytes", json_object_new_uint64(model->table_bytes));
    tm_json_put(table, "stacks", json_object_new_int64(model->stack_count - 1));
    tm_json_put(table, "locations", json_object_new_int64(model->location_count - 1));
    tm_json_put(answer, "table", table);
    const struct tm_snapshot_identity *snapshot = tm_snapshot_identity(target);
    if (snapshot) {
        struct json_object *file = json_object_new_object();
        tm_json_put(file, "taken", tm_json_time(tm_seconds(snapshot->taken)));
        tm_json_put(file, "blocks", json_object_new_boolean(snapshot->flags & TM_SNAPSHOT_HAS_BLOCKS));
        tm_json_put(file, "redacted", json_object_new_boolean(snapshot->flags & TM_SNAPSHOT_REDACTED));
        tm_json_put(answer, "snapshot", file);
    }
    if (model->proof)
        tm_json_put(answer, "proof", json_object_new_string(model->proof));
    bool agree, silent;
    char *symbols = model->ops->symbols ? model->ops->symbols(request->model, &agree, &silent) : NULL;
    if (symbols) {
        struct json_object *said = json_object_new_object();
        tm_json_put(said, "agree", silent ? NULL : json_object_new_boolean(agree));
        tm_json_put(said, "text", tm_json_name((struct tm_string_ref){symbols, (uint32_t)strlen(symbols)}));
        tm_json_put(answer, "symbols", said);
    }
    free(symbols);
    tm_json_put_incomplete(answer, model);
    return tm_json_write(answer, request->output);
}

struct tm_error *tm_run_info(struct tm_request *request)
{
    if (request->json)
        return print_json(request);
    print_text(request);
    return NULL;
}
