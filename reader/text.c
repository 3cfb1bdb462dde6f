/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct tm_text *text, size_t more)
{
    if (text->room - text->size > more)
        return true;
    size_t room = text->room ? text->room * 2 : 4096;
    while (room - text->size <= more)
        room *= 2;
    char *bytes = realloc(text->bytes, room);
    if (!bytes) {
        text->failed = true;
        return false;
    }
    text->bytes = bytes;
    text->room = room;
    return true;
}

void tm_text_add(struct tm_text *text, const void *bytes, size_t size)
{
    if (!reserve(text, size))
        return;
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = 0;
}

void tm_text_cut(struct tm_text *text, size_t size)
{
    if (size >= text->size)
        return;
    text->size = size;
    text->bytes[size] = 0;
}

void tm_text_print(struct tm_text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    if (length >= 0 && reserve(text, length)) {
        vsnprintf(text->bytes + text->size, length + 1, format, again);
        text->size += length;
    }
    va_end(again);
    va_end(arguments);
}

void tm_text_free(struct tm_text *text)
{
    free(text->bytes);
    *text = (struct tm_text){0};
}

int32_t tm_utf8_next(const char *bytes, size_t size, size_t *used)
{
    const uint8_t *at = (const uint8_t *)bytes;
    *used = 1;
    if (at[0] < 0x80)
        return at[0];
    size_t length = at[0] >= 0xc2 && at[0] < 0xe0   ? 2
                    : (at[0] & 0xf0) == 0xe0        ? 3
                    : at[0] >= 0xf0 && at[0] < 0xf5 ? 4
                                                    : 0;
    if (!length || length > size)
        return -1;
    int32_t point = at[0] & (0x7f >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return -1;
        point = point << 6 | (at[i] & 0x3f);
    }
    static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < least[length] || point > 0x10ffff)
        return -1;
    *used = length;
    return point;
}

/* Characters that change what a terminal shows of other characters: controls, and Unicode's bidirectional overrides. */
static bool is_harmful(int32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) || (point >= 0x202a && point <= 0x202e) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0x2028 || point == 0x2029 || point == 0xfeff;
}

void tm_text_add_name(struct tm_text *text, struct tm_string_ref name)
{
    size_t used;
    for (size_t i = 0; i < name.length; i += used) {
        int32_t point = tm_utf8_next(name.bytes + i, name.length - i, &used);
        if (point < 0)
            tm_text_print(text, "\\x%02x", (uint8_t)name.bytes[i]);
        else if (point >= 0xd800 && point < 0xe000)
            tm_text_print(text, "\\u%04x", (unsigned)point);
        else if (!is_harmful(point))
            tm_text_add(text, name.bytes + i, used);
        else if (point < 0x100)
            tm_text_print(text, "\\x%02x", (unsigned)point);
        else
            tm_text_print(text, "\\u%04x", (unsigned)point);
    }
}

void tm_text_add_size(struct tm_text *text, double size, bool sign)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    for (int i = 0;; i++, size /= 1024) {
        /* One decimal for numbers of at most two digits, none for those of up to five; bytes are always whole. */
        if (i && fabs(size) < 100) {
            tm_text_print(text, sign ? "%+.1f %s" : "%.1f %s", size, units[i]);
            return;
        }
        if (fabs(size) < 10 * 1024 || i == 4) {
            tm_text_print(text, sign ? "%+.0f %s" : "%.0f %s", size, units[i]);
            return;
        }
    }
}

/* ---- output ------------------------------------------------------------------------------------------------------- */

void tm_output_all(struct tm_output *output)
{
    const struct tm_face *face = output->face;
    if (output->held)
        return;
    if (output->text.size && !output->closed && face->write &&
        face->write(face->data, TM_STREAM_OUT, output->text.bytes, output->text.size) < 0)
        output->closed = true;
    output->text.size = 0;
    if (face->interrupted && !output->closed && face->interrupted(face->data))
        output->closed = true; /* a long answer stops as well */
}

void tm_output_some(struct tm_output *output)
{
    if (output->text.size >= 32768)
        tm_output_all(output);
}
