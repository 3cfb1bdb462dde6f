/* SPDX-License-Identifier: MIT */
/* Which table does the target have? */
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "snapshot.h"

const char *const tm_tracer_names[] = {"any", "tm", "stdlib", NULL};

static struct tm_error *no_table(const struct tm_target *target, enum tm_tracer tracer)
{
    struct tm_error *error = tm_error(
        TM_ERROR_NO_TABLE, "no trace of allocations in %s%s%s%s%s", target->truncated ? "what is left of " : "",
        target->name, target->program ? " (" : "", target->program ? target->program : "", target->program ? ")" : "");
    if (target->truncated)
        return tm_error_try(tm_error_because(error, "the file is truncated, or the program did not run under tm"),
                            "ulimit -c unlimited, and df for a full disk");
    error = tm_error_because(error, "the program did not run under %s",
                             tracer == TM_TRACER_TM       ? "tm"
                             : tracer == TM_TRACER_STDLIB ? "tracemalloc"
                                                          : "tm or tracemalloc");
    return tm_error_try(error, "tm run -- python3 app.py");
}

struct tm_error *tm_model_open_tracer(struct tm_target *target, enum tm_tracer tracer, struct tm_model **ret)
{
    const struct tm_decoder *const decoders[] = {&tm_layout_decoder, &tm_stdlib_decoder};
    struct tm_error *first = NULL;
    if (tm_target_is_snapshot(target)) /* which has one table, whosever it is */
        return tm_snapshot_decoder.open(target, ret);
    for (size_t i = 0; i < sizeof(decoders) / sizeof(decoders[0]); i++) {
        struct tm_model *model = NULL;
        if (tracer != TM_TRACER_ANY && tracer != i + TM_TRACER_TM)
            continue;
        struct tm_error *error = decoders[i]->open(target, &model);
        if (model) {
            tm_error_destroy(first);
            *ret = model;
            return NULL;
        }
        bool hopeless = error && (error->code == TM_ERROR_INTERRUPTED || error->code == TM_ERROR_NO_MEMORY);
        /* What the first table that is there says is worth more than that the others are not there. */
        if (!first)
            first = error;
        else
            tm_error_destroy(error);
        if (hopeless)
            break;
    }
    return first ? first : no_table(target, tracer);
}

struct tm_error *tm_model_open(struct tm_target *target, struct tm_model **ret)
{
    return tm_model_open_tracer(target, TM_TRACER_ANY, ret);
}
