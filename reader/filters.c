/* SPDX-License-Identifier: MIT */
#include "filters.h"

#include <stdlib.h>

#include "wildcard.h"

enum answer {
    ANSWER_UNKNOWN,
    ANSWER_NO,
    ANSWER_YES,
};

struct tm_error *tm_filter_locations(const struct tm_model *model, struct tm_string_ref pattern, int64_t lineno,
                                     uint8_t **ret)
{
    struct tm_wildcard *wildcard = NULL;
    struct tm_error *error = tm_wildcard_create(pattern, true, &wildcard);
    if (error)
        return error;
    uint8_t *known = calloc(model->strings.count, 1); /* per string: a file has many locations */
    uint8_t *matches = malloc(model->location_count);
    if (!known || !matches) {
        free(known);
        free(matches);
        tm_wildcard_destroy(wildcard);
        return tm_error_no_memory();
    }
    for (uint32_t i = 0; i < model->location_count; i++) {
        const struct tm_model_location *location = &model->locations[i];
        uint8_t *answer = &known[location->filename < model->strings.count ? location->filename : 0];
        if (*answer == ANSWER_UNKNOWN) {
            struct tm_string_ref name = tm_model_text(model, location->filename);
            *answer = tm_wildcard_matches(wildcard, name, true) ? ANSWER_YES : ANSWER_NO;
        }
        matches[i] = *answer == ANSWER_YES && (lineno < 0 || location->lineno == lineno);
    }
    free(known);
    tm_wildcard_destroy(wildcard);
    *ret = matches;
    return NULL;
}

struct tm_error *tm_filter_stacks(const struct tm_model *model, const struct tm_filter *filter, uint8_t **ret)
{
    *ret = NULL;
    if (!filter->matches)
        return NULL;
    uint32_t count = model->stack_count;
    uint8_t *hits = malloc(count);
    /* Frames from the newest one down to the nearest that matches; 0: none does. */
    uint32_t *distance = filter->all_frames ? calloc(count, sizeof(*distance)) : NULL;
    if (!hits || (filter->all_frames && !distance)) {
        free(hits);
        free(distance);
        return tm_error_no_memory();
    }
    for (uint32_t i = 0; i < count; i++) {
        bool match = filter->matches[model->stacks[i].location];
        if (distance && i) {
            uint32_t below = distance[model->stacks[i].parent];
            distance[i] = match ? 1 : below ? below + 1 : 0;
            match = distance[i] && distance[i] <= model->frame_limit;
        }
        hits[i] = match;
    }
    free(distance);
    *ret = hits;
    return NULL;
}
