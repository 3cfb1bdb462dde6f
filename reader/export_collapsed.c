/* SPDX-License-Identifier: MIT */
/* collapsed: the folded stacks of flamegraph.pl and its many friends.  One line for each traceback: frames from the
 * outermost one on, separated by ";", a space, a number. */
#include <inttypes.h>
#include <string.h>

#include "export.h"

/* ";" separates frames, and the format knows no escapes: it is written as other harmful characters are. */
static void put_frame(struct tm_text *text, const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (name[i] == ';')
            tm_text_print(text, "\\x3b");
        else
            tm_text_add(text, &name[i], 1);
    }
}

struct tm_error *tm_export_collapsed(struct tm_export *export)
{
    const struct tm_model *model = export->fresh.model;
    struct tm_text *text = export->sink->text, frame = {0};
    struct tm_statistics statistics;
    struct tm_frames frames = {0};
    struct tm_error *error = tm_export_statistics(export, &statistics);
    for (size_t i = 0; !error && i < statistics.count; i++) {
        error = tm_frames_get(model, statistics.items[i].stack, &frames);
        for (uint32_t j = frames.count; !error && j-- > 0;) {
            frame.size = 0;
            tm_export_frame_name(&frame, model, frames.items[j], false);
            put_frame(text, frame.bytes, frame.size);
            if (j)
                tm_text_print(text, ";");
        }
        tm_text_print(text, " %" PRId64 "\n", tm_export_value(export, &statistics.items[i]));
        if (!error)
            error = tm_export_step(export);
    }
    if (!error && frame.failed)
        error = tm_error_no_memory();
    tm_text_free(&frame);
    tm_frames_free(&frames);
    tm_statistics_free(&statistics);
    return error;
}
