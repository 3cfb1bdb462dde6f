/* SPDX-License-Identifier: MIT */
/*
 * --include, --exclude, --domain, --exclude-domain, --all-frames: each is one of tracemalloc's filters, and together they do
 * what Snapshot.filter_traces() does with the list of them.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

/* PATTERN[:LINE].  A pattern that itself ends like a line can be given as "[:]12". */
static void split_pattern(const char *word, struct tm_string_ref *pattern, int64_t *lineno)
{
    const char *colon = strrchr(word, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    *pattern = (struct tm_string_ref){word, (uint32_t)strlen(word)};
    *lineno = -1;
    if (digits && digits < 18 && !colon[1 + digits]) {
        pattern->length = (uint32_t)(colon - word);
        *lineno = strtoll(colon + 1, NULL, 10);
    }
}

static struct tm_error *parse_domain(const char *word, uint32_t *ret)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(word, &end, 10);
    if (!isdigit((unsigned char)word[0]) || *end || errno || value > UINT32_MAX)
        return tm_error_try(tm_error(TM_ERROR_USAGE, "a domain is a whole number from 0 on, not '%s'", word),
                            "--domain 0, for the memory of Python's own allocators");
    *ret = (uint32_t)value;
    return NULL;
}

static struct tm_error *make_filters(const struct tm_request *request, const struct tm_model *model,
                                     struct tm_filter *filters)
{
    const struct {
        const struct tm_words *words;
        bool by_domain;
        bool inclusive;
    } options[] = {
        {&request->include, false, true},
        {&request->exclude, false, false},
        {&request->domains, true, true},
        {&request->no_domains, true, false},
    };
    struct tm_error *error = NULL;
    size_t count = 0;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        for (size_t j = 0; j < options[i].words->count && !error; j++) {
            const char *word = options[i].words->items[j];
            struct tm_filter *filter = &filters[count++];
            filter->inclusive = options[i].inclusive;
            filter->by_domain = options[i].by_domain;
            filter->all_frames = request->all_frames;
            if (filter->by_domain) {
                error = parse_domain(word, &filter->domain);
            } else {
                struct tm_string_ref pattern;
                int64_t lineno;
                uint8_t *matches = NULL;
                split_pattern(word, &pattern, &lineno);
                error = tm_filter_locations(model, pattern, lineno, &matches);
                filter->matches = matches;
            }
        }
    }
    return error;
}

struct tm_error *tm_request_select(const struct tm_request *request, struct tm_model *model, struct tm_selection **ret)
{
    size_t count = request->include.count + request->exclude.count + request->domains.count + request->no_domains.count;
    *ret = NULL;
    if (!count)
        return NULL;
    struct tm_filter *filters = calloc(count, sizeof(*filters));
    struct tm_selection *selection = calloc(1, sizeof(*selection));
    struct tm_error *error = filters && selection ? make_filters(request, model, filters) : tm_error_no_memory();
    if (!error)
        error = tm_selection_make(model, filters, count, selection);
    for (size_t i = 0; filters && i < count; i++)
        free((void *)filters[i].matches);
    free(filters);
    if (error)
        free(selection);
    else
        *ret = selection;
    return error;
}

void tm_request_unselect(struct tm_selection *selection)
{
    if (selection)
        tm_selection_free(selection);
    free(selection);
}
