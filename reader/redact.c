/* SPDX-License-Identifier: MIT */
#include "redact.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- SipHash-2-4, as its authors publish it ------------------------------------------------------------------------ */

static uint64_t rotate(uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], int rounds)
{
    while (rounds--) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

static uint64_t siphash(const uint64_t key[2], const void *bytes, size_t size)
{
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    const uint8_t *at = bytes;
    uint64_t word, last = (uint64_t)size << 56;
    for (; size >= 8; size -= 8, at += 8) {
        memcpy(&word, at, 8);
        word = le64toh(word);
        v[3] ^= word;
        sip_rounds(v, 2);
        v[0] ^= word;
    }
    for (size_t i = 0; i < size; i++)
        last |= (uint64_t)at[i] << (8 * i);
    v[3] ^= last;
    sip_rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

void tm_redactor_init(struct tm_redactor *redactor, const char *key)
{
    /* Keys of any length become 16 bytes. */
    static const uint64_t low[2] = {0, 0}, high[2] = {1, 0};
    size_t size = key ? strlen(key) : 0;
    redactor->key[0] = siphash(low, key, size);
    redactor->key[1] = siphash(high, key, size);
}

bool tm_redact(const struct tm_redactor *redactor, struct tm_string_ref name, char *ret)
{
    static const char *const public[] = {"", "<unknown>", "<module>", "<lambda>", "<stdin>", "<string>"};
    for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++) {
        if (name.length == strlen(public[i]) && !memcmp(name.bytes, public[i], name.length))
            return false;
    }
    char text[TM_REDACTED_SIZE + 1];
    snprintf(text, sizeof(text), "redacted-%016" PRIx64, siphash(redactor->key, name.bytes, name.length));
    memcpy(ret, text, TM_REDACTED_SIZE);
    return true;
}
