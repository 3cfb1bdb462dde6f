/* SPDX-License-Identifier: MIT */
#include "selection.h"

#include <stdlib.h>
#include <string.h>

static struct tm_error *list_domains(struct tm_selection *selection, const struct tm_filter *filters, size_t count)
{
    selection->domains = calloc(count + 1, sizeof(*selection->domains));
    if (!selection->domains)
        return tm_error_no_memory();
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < selection->domain_count && selection->domains[at] != filters[i].domain)
            at++;
        if (filters[i].by_domain && at == selection->domain_count)
            selection->domains[selection->domain_count++] = filters[i].domain;
    }
    selection->keep = calloc(selection->domain_count + 1, sizeof(*selection->keep));
    return selection->keep ? NULL : tm_error_no_memory();
}

/* Which stacks stay in a domain; domain == NULL: in one that no filter names. */
static struct tm_error *keep_stacks(const struct tm_model *model, const struct tm_filter *filters, size_t count,
                                    uint8_t *const *hits, const uint32_t *domain, uint8_t **ret)
{
    uint8_t *keep = malloc(model->stack_count);
    if (!keep)
        return tm_error_no_memory();
    bool any_inclusive = false;
    for (size_t i = 0; i < count; i++)
        any_inclusive |= filters[i].inclusive;
    memset(keep, !any_inclusive, model->stack_count);
    for (int inclusive = 1; inclusive >= 0; inclusive--) {
        for (size_t i = 0; i < count; i++) {
            bool other = filters[i].by_domain && (!domain || *domain != filters[i].domain);
            if (filters[i].inclusive != inclusive || other)
                continue;
            for (uint32_t j = 0; j < model->stack_count; j++) {
                if (!hits[i] || hits[i][j])
                    keep[j] = (uint8_t)inclusive;
            }
        }
    }
    *ret = keep;
    return NULL;
}

/* Moves a foreign block from where it was counted as one of domain 0 to where it belongs. */
static struct tm_error *move_foreign(void *context, const struct tm_foreign_total *foreign, size_t count)
{
    struct tm_selection *selection = context;
    for (size_t i = 0; i < count; i++) {
        struct tm_total *total = &selection->totals[foreign[i].stack];
        if (tm_selection_keeps(selection, foreign[i].stack, 0)) {
            total->bytes = tm_difference(total->bytes, foreign[i].total.bytes);
            total->blocks = tm_difference(total->blocks, foreign[i].total.blocks);
        }
        if (tm_selection_keeps(selection, foreign[i].stack, foreign[i].domain)) {
            total->bytes = tm_sum(total->bytes, foreign[i].total.bytes);
            total->blocks = tm_sum(total->blocks, foreign[i].total.blocks);
        }
    }
    return NULL;
}

static struct tm_error *sum(struct tm_selection *selection, struct tm_model *model)
{
    selection->totals = calloc(model->stack_count, sizeof(*selection->totals));
    if (!selection->totals)
        return tm_error_no_memory();
    for (uint32_t i = 0; i < model->stack_count; i++) {
        if (tm_selection_keeps(selection, i, 0))
            selection->totals[i] = model->totals[i];
    }
    struct tm_error *error = selection->domain_count ? tm_model_each_foreign(model, move_foreign, selection) : NULL;
    for (uint32_t i = 0; i < model->stack_count; i++) {
        selection->size = tm_sum(selection->size, selection->totals[i].bytes);
        selection->count = tm_sum(selection->count, selection->totals[i].blocks);
    }
    return error;
}

struct tm_error *tm_selection_make(struct tm_model *model, const struct tm_filter *filters, size_t count,
                                   struct tm_selection *ret)
{
    *ret = (struct tm_selection){.model = model};
    uint8_t **hits = calloc(count + 1, sizeof(*hits));
    struct tm_error *error = hits ? list_domains(ret, filters, count) : tm_error_no_memory();
    for (size_t i = 0; i < count && !error; i++)
        error = tm_filter_stacks(model, &filters[i], &hits[i]);
    for (size_t i = 0; i <= ret->domain_count && !error; i++)
        error =
            keep_stacks(model, filters, count, hits, i < ret->domain_count ? &ret->domains[i] : NULL, &ret->keep[i]);
    if (!error)
        error = sum(ret, model);
    for (size_t i = 0; hits && i < count; i++)
        free(hits[i]);
    free(hits);
    if (error)
        tm_selection_free(ret);
    return error;
}

void tm_selection_free(struct tm_selection *selection)
{
    for (size_t i = 0; selection->keep && i <= selection->domain_count; i++)
        free(selection->keep[i]);
    free(selection->keep);
    free(selection->domains);
    free(selection->totals);
    *selection = (struct tm_selection){0};
}
