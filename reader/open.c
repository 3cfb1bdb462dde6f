/* SPDX-License-Identifier: MIT */
/* Opens what a request reads: SOURCE or the debugger's target, and OLD. */
#include "request.h"
#include "standstill.h"

static struct tm_error *read_table(const struct tm_request *request, struct tm_source *source)
{
    struct tm_error *error = tm_model_open_tracer(source->target, request->tracer, &source->model);
    return error ? error : tm_request_select(request, source->model, &source->selection);
}

struct tm_error *tm_request_open(struct tm_request *request)
{
    struct tm_source source = {0};
    struct tm_error *error =
        request->stop ? tm_standstill_begin(request->face, request->source, request->old, &request->standstill) : NULL;
    request->output->held = request->standstill != NULL;
    if (!error)
        error = tm_face_has_target(request->face)
                    ? tm_target_open_face(request->face, &source.target)
                    : tm_target_open_source(request->face, request->source, &source.target);
    if (!error) {
        source.target->still = request->standstill || request->face->flags & TM_FACE_STOPPED;
        error = read_table(request, &source);
    }
    request->target = source.target;
    request->model = source.model;
    request->selection = source.selection;
    return error;
}

struct tm_error *tm_request_open_old(struct tm_request *request, struct tm_source *ret)
{
    *ret = (struct tm_source){0};
    struct tm_error *error = tm_target_open_source(request->face, request->old, &ret->target);
    if (!error) {
        ret->target->still = request->standstill;
        error = read_table(request, ret);
    }
    if (!error)
        request->doubtful |= ret->model->incomplete_count > 0;
    return error;
}

void tm_source_close(struct tm_source *source)
{
    tm_request_unselect(source->selection);
    tm_model_destroy(source->model);
    if (source->target)
        tm_target_destroy(source->target);
    *source = (struct tm_source){0};
}

void tm_request_release(struct tm_request *request)
{
    tm_standstill_end(request->standstill);
    request->standstill = NULL;
    request->output->held = false;
}
