/* SPDX-License-Identifier: MIT */
/*
 * A pattern becomes a list of steps, each of which takes one character, except for stars.  fnmatch(3) is not used: it
 * goes by the locale, knows [:classes:] and escapes that Python does not, and refuses names that are not text there.
 */
#include "wildcard.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

enum step_kind {
    STEP_POINT,
    STEP_ANY,
    STEP_STAR,
    STEP_SET,
};

struct range {
    int32_t low;
    int32_t high;
};

struct step {
    enum step_kind kind;
    bool negated;
    int32_t point;
    uint32_t first; /* of its ranges */
    uint32_t count;
};

struct tm_wildcard {
    struct step *steps;
    uint32_t step_count;
    struct range *ranges;
    uint32_t range_count;
};

/* A byte that is not UTF-8 is one character, as Python's surrogateescape has it. */
static int32_t next_point(struct tm_string_ref text, uint32_t *at)
{
    size_t used;
    int32_t point = tm_utf8_next(text.bytes + *at, text.length - *at, &used);
    if (point < 0)
        point = 0xdc00 + (uint8_t)text.bytes[*at];
    *at += (uint32_t)used;
    return point;
}

static struct tm_string_ref normalised(struct tm_string_ref name)
{
    if (name.length >= 4 && !memcmp(name.bytes + name.length - 4, ".pyc", 4))
        name.length--;
    return name;
}

/* ---- [sets] ----------------------------------------------------------------------------------------------------------- */

static void add_range(struct tm_wildcard *wildcard, struct step *step, int32_t low, int32_t high)
{
    wildcard->ranges[wildcard->range_count++] = (struct range){low, high};
    step->count++;
}

/* Between two chunks stands a hyphen that makes a range of the characters beside it. */
struct chunk {
    uint32_t start;
    uint32_t end;
};

/* Python cuts what is between the brackets at the hyphens that can mean a range: not the first character, and not right
 * behind a range. */
static uint32_t cut_chunks(const int32_t *points, uint32_t start, uint32_t end, struct chunk *chunks)
{
    uint32_t count = 0, from = start;
    for (uint32_t at = start + 1; at < end; at++) {
        if (points[at] != '-')
            continue;
        chunks[count++] = (struct chunk){from, at};
        from = at + 1;
        at += 2;
    }
    if (from < end)
        chunks[count++] = (struct chunk){from, end};
    else if (count)
        chunks[count - 1].end = end; /* a hyphen at the end means itself */
    return count;
}

/* A range whose ends stand the wrong way round is empty; both go, and what is beside them becomes one chunk. */
static void drop_empty_ranges(int32_t *points, struct chunk *chunks, uint32_t *count)
{
    for (uint32_t i = *count; i-- > 1;) {
        struct chunk *left = &chunks[i - 1], *right = &chunks[i];
        if (points[left->end - 1] <= points[right->start])
            continue;
        uint32_t moved = right->end - right->start - 1;
        memmove(points + left->end - 1, points + right->start + 1, moved * sizeof(*points));
        left->end = left->end - 1 + moved;
        memmove(right, right + 1, (*count - i - 1) * sizeof(*right));
        --*count;
    }
}

static void add_set(struct tm_wildcard *wildcard, int32_t *points, uint32_t start, uint32_t end, struct chunk *chunks)
{
    struct step *step = &wildcard->steps[wildcard->step_count++];
    *step = (struct step){.kind = STEP_SET, .first = wildcard->range_count};
    step->negated = points[start] == '!';
    start += step->negated;
    uint32_t count = cut_chunks(points, start, end, chunks);
    drop_empty_ranges(points, chunks, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t first = chunks[i].start + (i > 0), last = chunks[i].end - (i + 1 < count);
        for (uint32_t j = first; j < last; j++)
            add_range(wildcard, step, points[j], points[j]);
        if (i + 1 < count)
            add_range(wildcard, step, points[chunks[i].end - 1], points[chunks[i + 1].start]);
    }
}

/* ---- making one ------------------------------------------------------------------------------------------------------- */

/* Where the set that begins behind points[at] ends; 0: nowhere, so that the bracket means itself. */
static uint32_t end_of_set(const int32_t *points, uint32_t count, uint32_t at)
{
    uint32_t end = at;
    if (end < count && points[end] == '!')
        end++;
    if (end < count && points[end] == ']')
        end++;
    while (end < count && points[end] != ']')
        end++;
    return end < count ? end : 0;
}

static void compile(struct tm_wildcard *wildcard, int32_t *points, uint32_t count, struct chunk *chunks)
{
    for (uint32_t at = 0; at < count;) {
        int32_t point = points[at++];
        uint32_t end = point == '[' ? end_of_set(points, count, at) : 0;
        bool again = wildcard->step_count && wildcard->steps[wildcard->step_count - 1].kind == STEP_STAR;
        if (end) {
            add_set(wildcard, points, at, end, chunks);
            at = end + 1;
        } else if (point != '*' || !again) {
            wildcard->steps[wildcard->step_count++] = (struct step){.kind = point == '*'   ? STEP_STAR
                                                                            : point == '?' ? STEP_ANY
                                                                                           : STEP_POINT,
                                                                    .point = point};
        }
    }
}

struct tm_error *tm_wildcard_create(struct tm_string_ref pattern, bool normalise, struct tm_wildcard **ret)
{
    if (normalise)
        pattern = normalised(pattern);
    size_t room = (size_t)pattern.length + 1;
    struct tm_wildcard *wildcard = calloc(1, sizeof(*wildcard));
    int32_t *points = calloc(room, sizeof(*points));
    struct chunk *chunks = calloc(room, sizeof(*chunks));
    if (wildcard) {
        wildcard->steps = malloc(room * sizeof(*wildcard->steps));
        wildcard->ranges = malloc(room * sizeof(*wildcard->ranges));
    }
    bool ok = wildcard && points && chunks && wildcard->steps && wildcard->ranges;
    if (ok) {
        uint32_t count = 0;
        for (uint32_t at = 0; at < pattern.length;)
            points[count++] = next_point(pattern, &at);
        compile(wildcard, points, count, chunks);
        *ret = wildcard;
    } else {
        tm_wildcard_destroy(wildcard);
    }
    free(points);
    free(chunks);
    return ok ? NULL : tm_error_no_memory();
}

void tm_wildcard_destroy(struct tm_wildcard *wildcard)
{
    if (!wildcard)
        return;
    free(wildcard->steps);
    free(wildcard->ranges);
    free(wildcard);
}

/* ---- matching --------------------------------------------------------------------------------------------------------- */

static bool takes(const struct tm_wildcard *wildcard, const struct step *step, int32_t point)
{
    if (step->kind != STEP_SET)
        return step->kind == STEP_ANY || step->point == point;
    bool in = false;
    for (uint32_t i = step->first; i < step->first + step->count && !in; i++)
        in = wildcard->ranges[i].low <= point && point <= wildcard->ranges[i].high;
    return in != step->negated;
}

/* A star first takes nothing, then one character more each time that the rest does not fit; only the last star met needs
 * to be thought of. */
bool tm_wildcard_matches(const struct tm_wildcard *wildcard, struct tm_string_ref name, bool normalise)
{
    if (normalise)
        name = normalised(name);
    uint32_t step = 0, at = 0, star = UINT32_MAX, star_at = 0;
    while (at < name.length) {
        if (step < wildcard->step_count && wildcard->steps[step].kind == STEP_STAR) {
            star = step++;
            star_at = at;
            continue;
        }
        uint32_t after = at;
        int32_t point = next_point(name, &after);
        if (step < wildcard->step_count && takes(wildcard, &wildcard->steps[step], point)) {
            step++;
            at = after;
            continue;
        }
        if (star == UINT32_MAX)
            return false;
        next_point(name, &star_at);
        at = star_at;
        step = star + 1;
    }
    while (step < wildcard->step_count && wildcard->steps[step].kind == STEP_STAR)
        step++;
    return step == wildcard->step_count;
}
