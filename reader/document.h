/* SPDX-License-Identifier: MIT */
/*
 * A page of headings, facts, tables and code in one of three dialects: plain text, Markdown as issue trackers read it
 * (GitHub's), and HTML that stands alone.  What is handed in may be any text: nothing in it becomes markup.
 */
#ifndef TM_DOCUMENT_H
#define TM_DOCUMENT_H

#include "text.h"

enum tm_document_format {
    TM_DOCUMENT_TEXT,
    TM_DOCUMENT_MARKDOWN,
    TM_DOCUMENT_HTML,
};
extern const char *const tm_document_format_names[]; /* in the order of the enum; NULL ends */

#define TM_DOCUMENT_COLUMNS 8

struct tm_document_column {
    const char *name;
    uint32_t width; /* of numbers, which stand on the right; 0: code.  Code follows numbers, in text. */
};

struct tm_document {
    enum tm_document_format format;
    struct tm_text *text;
    const struct tm_document_column *columns;
    uint32_t column_count;
    int inside; /* of what kind of part the last line was */
};

void tm_document_begin(struct tm_document *document, const char *title);
void tm_document_end(struct tm_document *document);
void tm_document_heading(struct tm_document *document, const char *heading);
void tm_document_paragraph(struct tm_document *document, const char *sentence);
/* One of a list. */
void tm_document_item(struct tm_document *document, const char *sentence);
/* One line of a table of two columns. */
void tm_document_fact(struct tm_document *document, const char *name, const char *value);
/* A table; then its rows: a text for each column and one for a line below the last of them, with a NUL behind each. */
void tm_document_table(struct tm_document *document, const struct tm_document_column *columns, uint32_t count);
void tm_document_row(struct tm_document *document, const struct tm_text *cells);
/* Lines as they stand. */
void tm_document_code(struct tm_document *document, const struct tm_text *lines);

#endif
