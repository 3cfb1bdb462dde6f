/* SPDX-License-Identifier: MIT */
#include "windows.h"

#include <stdlib.h>

/*
 * Key of a stack s with newest line l on parent p: K(s) = K(p) * B + l + 1, modulo the prime 2^61 - 1, twice with different
 * bases.  The key of a window is K(s) - K(end) * B^limit.  122 bits: among 2^30 stacks two windows that differ have the
 * same key with a probability below 2^-60.
 */
#define PRIME ((UINT64_C(1) << 61) - 1)
#define BASE_HIGH UINT64_C(0x0b5297a4d1f3c8e7)
#define BASE_LOW UINT64_C(0x1e3779b97f4a7c15)

static uint64_t multiply(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    uint64_t sum = (uint64_t)(product & PRIME) + (uint64_t)(product >> 61);
    return sum >= PRIME ? sum - PRIME : sum;
}

static uint64_t add(uint64_t a, uint64_t b)
{
    uint64_t sum = a + b;
    return sum >= PRIME ? sum - PRIME : sum;
}

static uint64_t power(uint64_t base, uint32_t exponent)
{
    uint64_t result = 1;
    for (; exponent; exponent >>= 1, base = multiply(base, base)) {
        if (exponent & 1)
            result = multiply(result, base);
    }
    return result;
}

/*
 * jump[s]: as in a skew-binary random access list (Myers, "An applicative random-access stack", 1983).  A stack jumps as
 * far as its parent and its parent's jump together if those two are of equal length, otherwise to its parent.  Any depth
 * is reached in O(log depth) steps.
 */
struct tm_error *tm_windows_init(struct tm_windows *windows, const struct tm_model *model, const uint32_t *lines,
                                 bool keys)
{
    uint32_t count = model->stack_count;
    *windows = (struct tm_windows){.model = model, .lines = lines, .limit = model->frame_limit};
    windows->depth = malloc(count * sizeof(*windows->depth));
    windows->jump = malloc(count * sizeof(*windows->jump));
    windows->key = keys ? calloc(count, sizeof(*windows->key)) : NULL;
    if (!windows->depth || !windows->jump || (keys && !windows->key)) {
        tm_windows_deinit(windows);
        return tm_error_no_memory();
    }
    uint32_t *depth = windows->depth, *jump = windows->jump;
    depth[0] = 0;
    jump[0] = 0;
    for (uint32_t i = 1; i < count; i++) {
        uint32_t parent = model->stacks[i].parent, far = jump[parent];
        depth[i] = depth[parent] + 1;
        jump[i] = depth[parent] - depth[far] == depth[far] - depth[jump[far]] ? jump[far] : parent;
        if (keys) {
            uint64_t line = (uint64_t)lines[model->stacks[i].location] + 1;
            const struct tm_window_key *below = &windows->key[parent];
            windows->key[i].high = add(multiply(below->high, BASE_HIGH), line);
            windows->key[i].low = add(multiply(below->low, BASE_LOW), line);
        }
    }
    windows->power.high = power(BASE_HIGH, windows->limit);
    windows->power.low = power(BASE_LOW, windows->limit);
    return NULL;
}

void tm_windows_deinit(struct tm_windows *windows)
{
    free(windows->depth);
    free(windows->jump);
    free(windows->key);
}

uint32_t tm_window_end(const struct tm_windows *windows, uint32_t stack)
{
    if (windows->depth[stack] <= windows->limit)
        return 0;
    uint32_t wanted = windows->depth[stack] - windows->limit;
    while (windows->depth[stack] > wanted) {
        uint32_t far = windows->jump[stack];
        stack = windows->depth[far] >= wanted ? far : windows->model->stacks[stack].parent;
    }
    return stack;
}

struct tm_window_key tm_window_key(const struct tm_windows *windows, uint32_t stack)
{
    struct tm_window_key key = windows->key[stack];
    uint32_t end = tm_window_end(windows, stack);
    if (end) {
        const struct tm_window_key *below = &windows->key[end];
        key.high = add(key.high, PRIME - multiply(below->high, windows->power.high));
        key.low = add(key.low, PRIME - multiply(below->low, windows->power.low));
    }
    return key;
}
