/* SPDX-License-Identifier: MIT */
#include "pickle.h"

#include <string.h>

void tm_pickle_code(struct tm_pickle *pickle, char code)
{
    tm_text_add(pickle->text, &code, 1);
}

/* A code, then a number of so many bytes, the lowest first. */
static void put(struct tm_pickle *pickle, char code, uint64_t value, size_t size)
{
    uint8_t bytes[9] = {(uint8_t)code};
    for (size_t i = 0; i < size; i++)
        bytes[1 + i] = (uint8_t)(value >> (8 * i));
    tm_text_add(pickle->text, bytes, 1 + size);
}

void tm_pickle_begin(struct tm_pickle *pickle, struct tm_text *text)
{
    *pickle = (struct tm_pickle){.text = text};
    tm_text_add(text, "\x80\x02", 2);
}

void tm_pickle_end(struct tm_pickle *pickle)
{
    tm_pickle_code(pickle, '.');
}

void tm_pickle_number(struct tm_pickle *pickle, uint64_t value)
{
    if (value <= UINT8_MAX)
        put(pickle, 'K', value, 1);
    else if (value <= UINT16_MAX)
        put(pickle, 'M', value, 2);
    else if (value <= INT32_MAX)
        put(pickle, 'J', value, 4);
    else {
        /* A length, and that many bytes of a signed number. */
        put(pickle, '\x8a', 9, 1);
        for (size_t i = 0; i < 9; i++)
            tm_pickle_code(pickle, i < 8 ? (char)(value >> (8 * i)) : 0);
    }
}

void tm_pickle_string(struct tm_pickle *pickle, struct tm_string_ref string)
{
    size_t used, escapes = 0;
    for (size_t i = 0; i < string.length; i += used)
        escapes += tm_utf8_next(string.bytes + i, string.length - i, &used) < 0;
    put(pickle, 'X', (uint64_t)string.length + 2 * escapes, 4);
    if (!escapes) {
        tm_text_add(pickle->text, string.bytes, string.length);
        return;
    }
    for (size_t i = 0; i < string.length; i += used) {
        if (tm_utf8_next(string.bytes + i, string.length - i, &used) < 0) {
            /* U+DC80 to U+DCFF, which pickles hold with surrogatepass */
            uint8_t byte = (uint8_t)string.bytes[i];
            tm_text_add(pickle->text, (uint8_t[]){0xed, (uint8_t)(0xb0 | byte >> 6), (uint8_t)(0x80 | (byte & 0x3f))},
                        3);
        } else {
            tm_text_add(pickle->text, string.bytes + i, used);
        }
    }
}

void tm_pickle_object(struct tm_pickle *pickle, const char *class_name)
{
    tm_text_print(pickle->text, "ctracemalloc\n%s\n", class_name);
    tm_pickle_code(pickle, TM_PICKLE_EMPTY_TUPLE);
    tm_pickle_code(pickle, TM_PICKLE_NEW);
}

uint32_t tm_pickle_remember(struct tm_pickle *pickle)
{
    if (pickle->memo_count <= UINT8_MAX)
        put(pickle, 'q', pickle->memo_count, 1);
    else
        put(pickle, 'r', pickle->memo_count, 4);
    return ++pickle->memo_count;
}

void tm_pickle_again(struct tm_pickle *pickle, uint32_t number)
{
    if (number - 1 <= UINT8_MAX)
        put(pickle, 'h', number - 1, 1);
    else
        put(pickle, 'j', number - 1, 4);
}
