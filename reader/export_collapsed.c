/* SPDX-License-Identifier: MIT */
/* collapsed: the folded stacks of flamegraph.pl and its many friends.  One line for each traceback: frames from the
 * outermost one on, separated by ";", a space, a number. */
#include <inttypes.h>

#include "export.h"

/* ";" separates frames, and the format knows no escapes: it is written as other harmful characters are. */
static void make_frame(struct tm_text *text, const struct tm_model *model, uint32_t location)
{
    struct tm_text name = {0};
    tm_export_frame_name(&name, model, location, false);
    for (size_t i = 0; i < name.size; i++) {
        if (name.bytes[i] == ';')
            tm_text_print(text, "\\x3b");
        else
            tm_text_add(text, &name.bytes[i], 1);
    }
    text->failed |= name.failed;
    tm_text_free(&name);
}

struct tm_error *tm_export_collapsed(struct tm_export *export)
{
    const struct tm_model *model = export->fresh.model;
    struct tm_text *text = export->sink->text;
    struct tm_statistics statistics = {0};
    struct tm_frames frames = {0};
    struct tm_frame_texts texts;
    struct tm_error *error = tm_frame_texts_init(&texts, model, make_frame);
    if (!error)
        error = tm_export_statistics(export, &statistics);
    for (size_t i = 0; !error && i < statistics.count; i++) {
        error = tm_frames_get(model, statistics.items[i].stack, &frames);
        for (uint32_t j = error ? 0 : frames.count; j-- > 0;) {
            tm_frame_texts_add(&texts, frames.items[j], text);
            if (j)
                tm_text_add(text, ";", 1);
        }
        tm_text_print(text, " %" PRId64 "\n", tm_export_value(export, &statistics.items[i]));
        if (!error)
            error = tm_export_step(export);
    }
    tm_frame_texts_free(&texts);
    tm_frames_free(&frames);
    tm_statistics_free(&statistics);
    return error;
}
