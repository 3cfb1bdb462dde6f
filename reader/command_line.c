/* SPDX-License-Identifier: MIT */
/*
 * A program's command line, out of its memory: for targets that only a debugger reads, on another machine perhaps.
 *
 * The kernel puts it at the end of the first stack (Linux, fs/exec.c and fs/binfmt_elf.c; System V ABI, "Process
 * Initialization"):
 *
 *   argc, argv[0..], 0, envp[0..], 0, pairs of the auxiliary vector, ... strings of argv, of envp, file name, 8 zero bytes
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "target.h"

#define MOST (UINT64_C(256) << 10) /* of the stack: a command line and an environment of ordinary size */
#define MOST_TEXT 255              /* as much as is shown of a process of this machine */
#define END_MARKER 8
#define HIGHEST_TYPE 4096 /* of the auxiliary vector; pointers are above */

struct stack {
    const uint8_t *bytes;
    uint64_t start, size;
};

static uint64_t word_at(const struct stack *stack, uint64_t offset)
{
    uint64_t word;
    memcpy(&word, stack->bytes + offset, sizeof(word));
    return word;
}

/* Offset of the word before this one; false at the beginning. */
static bool step_back(const struct stack *stack, uint64_t *offset, uint64_t *word)
{
    if (*offset < sizeof(uint64_t))
        return false;
    *offset -= sizeof(uint64_t);
    *word = word_at(stack, *offset);
    return true;
}

/* Where the auxiliary vector begins, which names the file that is at the very end; 0: nowhere. */
static uint64_t find_vector(const struct stack *stack)
{
    uint64_t name = stack->size - END_MARKER - 1;
    for (int i = 1; i <= END_MARKER + 1; i++) {
        if (stack->bytes[stack->size - i])
            return 0;
    }
    while (name && stack->bytes[name - 1])
        name--;
    uint64_t offset = name & ~UINT64_C(7);
    uint64_t word;
    while (step_back(stack, &offset, &word)) {
        if (word != stack->start + name || offset < sizeof(word) || word_at(stack, offset - sizeof(word)) != AT_EXECFN)
            continue;
        uint64_t first = offset - sizeof(word);
        while (first >= 2 * sizeof(word) && word_at(stack, first - 2 * sizeof(word)) - 1 < HIGHEST_TYPE)
            first -= 2 * sizeof(word);
        return first;
    }
    return 0;
}

/* The strings from argv[0] to the last one, with the zero bytes that end them. */
static const uint8_t *find_text(const struct stack *stack, uint64_t *size)
{
    uint64_t offset = find_vector(stack);
    uint64_t word, first = 0, last = 0, count = 0;
    if (!step_back(stack, &offset, &word) || word)
        return NULL;
    do { /* the environment */
        if (!step_back(stack, &offset, &word))
            return NULL;
    } while (word);
    while (step_back(stack, &offset, &word) && word != count) {
        last = count++ ? last : word;
        first = word;
    }
    if (!count || word != count || first < stack->start || last < first || last - stack->start >= stack->size)
        return NULL;
    const uint8_t *text = stack->bytes + (first - stack->start), *end = stack->bytes + (last - stack->start);
    *size = (uint64_t)(end - text) + strnlen((const char *)end, stack->size - (last - stack->start));
    return text;
}

char *tm_target_command_line(struct tm_target *target)
{
    char *ret = NULL;
    for (size_t i = 0; i < target->region_count && !ret; i++) {
        const struct tm_region *region = &target->regions[i];
        if (!region->path || strcmp(region->path, "[stack]") != 0 || (region->start | region->end) % sizeof(uint64_t))
            continue;
        uint64_t size = region->end - region->start < MOST ? region->end - region->start : MOST;
        struct tm_bytes bytes = {0};
        tm_bytes_load(&bytes, target, region->end - size, size);
        const struct stack stack = {bytes.data, region->end - size, size};
        uint64_t length = 0;
        const uint8_t *text = size > END_MARKER && bytes.size == size ? find_text(&stack, &length) : NULL;
        if (text && length && (ret = malloc(MOST_TEXT + 1))) {
            length = length < MOST_TEXT ? length : MOST_TEXT;
            for (uint64_t k = 0; k < length; k++)
                ret[k] = text[k] ? (char)text[k] : ' ';
            ret[length] = 0;
        }
        tm_bytes_unload(&bytes);
    }
    return ret;
}
