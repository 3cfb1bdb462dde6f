/* SPDX-License-Identifier: MIT */
/* What the formats have in common. */
#define _GNU_SOURCE /* memrchr */
#include "export.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MUCH 65536

struct tm_error *tm_sink_some(struct tm_sink *sink)
{
    if (sink->output) {
        tm_output_some(sink->output);
        return sink->output->closed ? tm_error(TM_ERROR_INTERRUPTED, "interrupted") : NULL;
    }
    if (sink->own.failed)
        return tm_error_no_memory();
    if (sink->own.size < MUCH)
        return NULL;
    struct tm_error *error = tm_new_file_write(&sink->file, sink->own.bytes, sink->own.size);
    sink->own.size = 0;
    return error;
}

struct tm_error *tm_export_step(struct tm_export *export)
{
    struct tm_target *target = export->fresh.model->target;
    if (target && tm_target_interrupted(target))
        return tm_error(TM_ERROR_INTERRUPTED, "interrupted");
    return tm_sink_some(export->sink);
}

struct tm_error *tm_export_statistics(const struct tm_export *export, struct tm_statistics *ret)
{
    return tm_statistics_make(export->fresh.model, tm_source_totals(&export->fresh), TM_GROUP_TRACEBACK, false, 0, ret);
}

struct tm_error *tm_frames_get(const struct tm_model *model, uint32_t stack, struct tm_frames *frames)
{
    frames->count = 0;
    uint32_t left = model->frame_limit;
    do {
        if (frames->count == frames->room) {
            uint32_t room = frames->room ? frames->room * 2 : 64;
            uint32_t *items = reallocarray(frames->items, room, sizeof(*items));
            if (!items)
                return tm_error_no_memory();
            frames->items = items;
            frames->room = room;
        }
        frames->items[frames->count++] = model->stacks[stack].location;
        stack = model->stacks[stack].parent;
    } while (--left && stack);
    return NULL;
}

void tm_frames_free(struct tm_frames *frames)
{
    free(frames->items);
    *frames = (struct tm_frames){0};
}

struct tm_error *tm_frame_texts_init(struct tm_frame_texts *texts, const struct tm_model *model,
                                     void (*make)(struct tm_text *text, const struct tm_model *model,
                                                  uint32_t location))
{
    *texts = (struct tm_frame_texts){.model = model, .make = make};
    texts->items = calloc(model->location_count, sizeof(*texts->items));
    return texts->items ? NULL : tm_error_no_memory();
}

void tm_frame_texts_add(struct tm_frame_texts *texts, uint32_t location, struct tm_text *text)
{
    struct tm_frame_text *item = &texts->items[location];
    if (!item->size) {
        item->offset = texts->all.size;
        texts->make(&texts->all, texts->model, location);
        item->size = texts->all.size - item->offset;
        text->failed |= texts->all.failed;
    }
    if (item->size)
        tm_text_add(text, texts->all.bytes + item->offset, item->size);
}

void tm_frame_texts_free(struct tm_frame_texts *texts)
{
    tm_text_free(&texts->all);
    free(texts->items);
    *texts = (struct tm_frame_texts){0};
}

void tm_export_frame_name(struct tm_text *text, const struct tm_model *model, uint32_t location, bool base)
{
    const struct tm_model_location *place = &model->locations[location];
    struct tm_string_ref name = tm_model_text(model, place->name), file = tm_model_text(model, place->filename);
    const char *slash = base ? memrchr(file.bytes, '/', file.length) : NULL;
    if (slash) {
        file.length -= (uint32_t)(slash + 1 - file.bytes);
        file.bytes = slash + 1;
    }
    if (name.length) {
        tm_text_add_name(text, name);
        tm_text_print(text, " (");
    }
    tm_text_add_name(text, file);
    tm_text_print(text, ":%" PRIu32 "%s", place->lineno, name.length ? ")" : "");
}
