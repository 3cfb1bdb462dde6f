/* SPDX-License-Identifier: MIT */
/* What a report says, whatever its form. */
#ifndef TM_REPORT_H
#define TM_REPORT_H

#include "document.h"
#include "request.h"
#include "statistics.h"

struct tm_report {
    struct tm_request *request;
    const struct tm_model *model;
    time_t moment; /* that it is about */
    bool written;  /* that is when the core was; otherwise when it was read */
    struct tm_statistics lines;
    struct tm_statistics tracebacks; /* none if only lines were recorded */
    struct tm_block *blocks;
    size_t block_count;
    struct tm_error *no_blocks; /* why the single blocks are not known; or NULL */
};

/* How it ended, or "alive"; nothing if that is not known. */
void tm_report_state(const struct tm_report *report, struct tm_text *text);
/* Calls item for each sentence about what is lost or missing, in `scratch`.  False: nothing is. */
bool tm_report_missing(const struct tm_report *report, struct tm_text *scratch,
                       void (*item)(void *context, const char *sentence), void *context);

struct tm_error *tm_report_page(const struct tm_report *report, enum tm_document_format format, struct tm_text *text);
struct tm_error *tm_report_json(const struct tm_report *report, struct tm_output *output);

#endif
