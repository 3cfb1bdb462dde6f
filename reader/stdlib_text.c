/* SPDX-License-Identifier: MIT */
#include "stdlib_text.h"

#include <stdlib.h>

#define HEAD 80                         /* enough of a PyUnicodeObject of every version */
#define UTF8_LONGER 4                   /* bytes of UTF-8 for one character, at most */
#define FIRST_WITH_CHARS 0x30f          /* gh-155725 */
#define IMAGE_SIZE (UINT64_C(64) << 20) /* no interpreter is larger */

struct tm_error *tm_stdlib_text_init(struct tm_stdlib_text *text, struct tm_stdlib_memory *memory,
                                     const struct tm_stdlib_text_layout *layout, uint64_t image, uint32_t version)
{
    *text = (struct tm_stdlib_text){
        .memory = memory,
        .layout = layout,
        .image = image,
        .chars = !version || version >> 16 >= FIRST_WITH_CHARS,
        .unsure = !version || version >> 16 > tm_stdlib_newest(),
    };
    text->raw = malloc(TM_STDLIB_TEXT_MAX * 4);
    text->utf8 = malloc(TM_STDLIB_TEXT_MAX * UTF8_LONGER);
    return text->raw && text->utf8 ? NULL : tm_error_no_memory();
}

void tm_stdlib_text_deinit(struct tm_stdlib_text *text)
{
    free(text->raw);
    free(text->utf8);
    *text = (struct tm_stdlib_text){0};
}

/* What a str says of itself. */
struct str {
    uint64_t data;
    uint64_t length;
    unsigned kind; /* bytes of a character */
    bool ascii;
};

/* The type decides, not the version: 3.15's betas still had str.  PyUnicode_Type lies in .data, which is in every core;
 * the flag is also set for subclasses, and characters that are read as a pointer lead nowhere. */
static bool is_str_type(struct tm_stdlib_text *text, uint64_t type)
{
    const uint32_t unicode_subclass = UINT32_C(1) << 28; /* Py_TPFLAGS_UNICODE_SUBCLASS */
    if (type == text->str_type)
        return true;
    uint8_t scratch[8];
    struct tm_stdlib_window none = {0};
    if (!tm_stdlib_pointer(type) || type % 8)
        return false;
    const uint8_t *flags = tm_stdlib_at(text->memory, &none, type + text->layout->type_flags, 8, scratch);
    if (!flags || !(tm_stdlib_u64(flags) & unicode_subclass))
        return false;
    text->str_type = type;
    return true;
}

static bool read_str(struct tm_stdlib_text *text, uint64_t address, struct str *ret)
{
    const struct tm_stdlib_text_layout *layout = text->layout;
    uint8_t scratch[HEAD];
    if (!tm_stdlib_pointer(address) || address % 8)
        return false;
    /* A short ASCII string at the very end of a region has fewer bytes than the largest struct. */
    const uint8_t *head = tm_stdlib_at(text->memory, &text->window, address, layout->ascii_data, scratch);
    if (!head)
        return false;
    uint64_t type = tm_stdlib_u64(head + layout->type);
    uint32_t state = tm_stdlib_u32(head + layout->state);
    bool compact = state >> layout->compact_bit & 1;
    ret->ascii = state >> layout->ascii_bit & 1;
    ret->kind = state >> layout->kind_bit & 7;
    ret->length = tm_stdlib_u64(head + layout->length);
    if ((ret->kind != 1 && ret->kind != 2 && ret->kind != 4) || (ret->ascii && ret->kind != 1) ||
        ret->length > text->memory->readable / ret->kind || !is_str_type(text, type))
        return false;
    if (compact) {
        ret->data = address + (ret->ascii ? layout->ascii_data : layout->compact_data);
        return true;
    }
    const uint8_t *pointer = tm_stdlib_at(text->memory, &text->window, address + layout->pointer, 8, scratch);
    if (!pointer)
        return false;
    ret->data = tm_stdlib_u64(pointer);
    return tm_stdlib_pointer(ret->data);
}

/* Surrogates stay what they are ("surrogatepass"): that is how undecodable bytes of a file name stand in a str. */
static uint32_t encode(uint8_t *to, uint32_t character)
{
    if (character < 0x80) {
        to[0] = (uint8_t)character;
        return 1;
    }
    if (character < 0x800) {
        to[0] = (uint8_t)(0xc0 | character >> 6);
        to[1] = (uint8_t)(0x80 | (character & 0x3f));
        return 2;
    }
    if (character < 0x10000) {
        to[0] = (uint8_t)(0xe0 | character >> 12);
        to[1] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (character & 0x3f));
        return 3;
    }
    if (character > 0x10ffff)
        return encode(to, 0xfffd);
    to[0] = (uint8_t)(0xf0 | character >> 18);
    to[1] = (uint8_t)(0x80 | (character >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (character >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (character & 0x3f));
    return 4;
}

static bool decode_str(struct tm_stdlib_text *text, const struct str *str, uint32_t *ret)
{
    uint64_t length = str->length < TM_STDLIB_TEXT_MAX ? str->length : TM_STDLIB_TEXT_MAX;
    const uint8_t *raw = tm_stdlib_at(text->memory, &text->window, str->data, length * str->kind, text->raw);
    if (!raw)
        return false;
    uint32_t out = 0;
    for (uint64_t i = 0; i < length; i++) {
        uint32_t character = str->kind == 1   ? raw[i]
                             : str->kind == 2 ? tm_stdlib_u16(raw + 2 * i)
                                              : tm_stdlib_u32(raw + 4 * i);
        if (str->ascii && character >= 0x80)
            return false;
        out += encode(text->utf8 + out, character);
    }
    *ret = out;
    return true;
}

/* 3.15: NUL-terminated, interned by tracemalloc itself with malloc(). */
static bool decode_chars(struct tm_stdlib_text *text, uint64_t address, uint32_t *ret)
{
    uint32_t length = 0;
    while (length < TM_STDLIB_TEXT_MAX) {
        /* Up to the next page at a time: what lies behind the string need not be mapped. */
        uint64_t piece = 256 - (address + length) % 256;
        uint8_t scratch[256];
        const uint8_t *bytes = tm_stdlib_at(text->memory, &text->window, address + length, piece, scratch);
        if (!bytes)
            return false;
        const uint8_t *end = memchr(bytes, 0, piece);
        uint64_t count = end ? (uint64_t)(end - bytes) : piece;
        memcpy(text->utf8 + length, bytes, count);
        length += (uint32_t)count;
        if (end)
            break;
    }
    *ret = length;
    return true;
}

/* A version that is not known: the first str that is one in any layout tells which. */
static bool find_layout(struct tm_stdlib_text *text, uint64_t address, struct str *ret)
{
    const struct tm_stdlib_text_layout *before = text->layout;
    for (size_t i = 0; i < tm_stdlib_family_count && text->unsure; i++) {
        text->layout = tm_stdlib_families[i].text;
        text->unsure = !read_str(text, address, ret);
    }
    if (text->unsure)
        text->layout = before;
    return !text->unsure;
}

bool tm_stdlib_text_read(struct tm_stdlib_text *text, uint64_t address, uint32_t *ret)
{
    struct str str;
    if (read_str(text, address, &str) || (text->unsure && find_layout(text, address, &str)))
        return decode_str(text, &str, ret);
    if (!text->chars)
        return false;
    if (decode_chars(text, address, ret))
        return true;
    /* "<unknown>" is the one name that 3.15 does not copy: it stands in read-only data of the interpreter, which cores
     * leave out, and gcore does not even list. */
    const struct tm_region *region = tm_target_region(text->memory->target, address);
    bool near = address - (text->image - IMAGE_SIZE) < 2 * IMAGE_SIZE;
    if (!near || (region && (region->flags & TM_REGION_WRITE)) || text->memory->fault.outcome == TM_READ_TRUNCATED)
        return false;
    static const char unknown[] = "<unknown>";
    memcpy(text->utf8, unknown, sizeof(unknown) - 1);
    *ret = sizeof(unknown) - 1;
    return true;
}
