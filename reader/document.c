/* SPDX-License-Identifier: MIT */
#include "document.h"

#include <string.h>

const char *const tm_document_format_names[] = {"text", "markdown", "html", NULL};

enum {
    NOTHING,
    ITEMS,
    FACTS,
    TABLE,
};

static const char head[] = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>";
static const char style[] =
    "</title>\n<style>\n"
    "body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; }\n"
    "table { border-collapse: collapse; }\n"
    "th, td { text-align: left; vertical-align: top; padding: .2em 1em .2em 0; border-bottom: 1px solid #ccc; }\n"
    ".n { text-align: right; white-space: nowrap; }\n"
    "code, pre { font: 13px/1.5 ui-monospace, monospace; }\n"
    "td code { overflow-wrap: anywhere; }\n"
    "pre { overflow-x: auto; background: #f4f4f4; padding: .6em 1em; }\n"
    "</style>\n</head>\n<body>\n";

/* ---- any text, as none but itself --------------------------------------------------------------------------------- */

static void add_html(struct tm_text *text, const char *bytes)
{
    for (; *bytes; bytes++) {
        const char *escape = *bytes == '&'   ? "&amp;"
                             : *bytes == '<' ? "&lt;"
                             : *bytes == '>' ? "&gt;"
                             : *bytes == '"' ? "&quot;"
                                             : NULL;
        tm_text_add(text, escape ? escape : bytes, escape ? strlen(escape) : 1);
    }
}

/* Any punctuation may have a backslash before it in Markdown; these would mean something without. */
static void add_markdown(struct tm_text *text, const char *bytes)
{
    for (; *bytes; bytes++) {
        if (strchr("\\`*_{}[]<>#|~&$@", *bytes))
            tm_text_add(text, "\\", 1);
        tm_text_add(text, bytes, 1);
    }
}

static size_t longest_run(const char *bytes, char of)
{
    size_t longest = 0, run = 0;
    for (; *bytes; bytes++) {
        run = *bytes == of ? run + 1 : 0;
        if (run > longest)
            longest = run;
    }
    return longest;
}

/* A span of code ends at as many backticks as it began with.  In a table, | ends a cell even there. */
static void add_markdown_code(struct tm_text *text, const char *bytes)
{
    size_t ticks = longest_run(bytes, '`') + 1;
    for (size_t i = 0; i < ticks; i++)
        tm_text_add(text, "`", 1);
    tm_text_print(text, "%s", ticks > 1 ? " " : "");
    for (const char *c = bytes; *c; c++) {
        if (*c == '|')
            tm_text_add(text, "\\", 1);
        tm_text_add(text, c, 1);
    }
    tm_text_print(text, "%s", ticks > 1 ? " " : "");
    for (size_t i = 0; i < ticks; i++)
        tm_text_add(text, "`", 1);
}

static void add(struct tm_document *document, const char *bytes)
{
    if (document->format == TM_DOCUMENT_HTML)
        add_html(document->text, bytes);
    else if (document->format == TM_DOCUMENT_MARKDOWN)
        add_markdown(document->text, bytes);
    else
        tm_text_print(document->text, "%s", bytes);
}

static void add_code(struct tm_document *document, const char *bytes)
{
    if (document->format == TM_DOCUMENT_HTML) {
        tm_text_print(document->text, "<code>");
        add_html(document->text, bytes);
        tm_text_print(document->text, "</code>");
    } else if (document->format == TM_DOCUMENT_MARKDOWN && *bytes) {
        add_markdown_code(document->text, bytes);
    } else {
        tm_text_print(document->text, "%s", bytes);
    }
}

/* ---- parts ---------------------------------------------------------------------------------------------------------- */

/* Ends the part before, if this is another one; true if it is. */
static bool enter(struct tm_document *document, int part)
{
    static const char *const ends[] = {"", "</ul>\n", "</table>\n", "</table>\n"};
    if (document->inside == part && part != NOTHING)
        return false;
    if (document->format == TM_DOCUMENT_HTML)
        tm_text_print(document->text, "%s", ends[document->inside]);
    else if (document->inside != NOTHING)
        tm_text_print(document->text, "\n");
    document->inside = part;
    return true;
}

void tm_document_begin(struct tm_document *document, const char *title)
{
    struct tm_text *text = document->text;
    if (document->format == TM_DOCUMENT_HTML) {
        tm_text_print(text, "%s", head);
        add_html(text, title);
        tm_text_print(text, "%s<h1>", style);
        add_html(text, title);
        tm_text_print(text, "</h1>\n");
        return;
    }
    tm_text_print(text, "%s", document->format == TM_DOCUMENT_MARKDOWN ? "# " : "");
    size_t before = text->size;
    add(document, title);
    size_t width = text->size - before;
    tm_text_print(text, "\n");
    for (size_t i = 0; i < width && document->format == TM_DOCUMENT_TEXT; i++)
        tm_text_add(text, "=", 1);
    tm_text_print(text, document->format == TM_DOCUMENT_TEXT ? "\n\n" : "\n");
}

void tm_document_end(struct tm_document *document)
{
    enter(document, NOTHING);
    if (document->format == TM_DOCUMENT_HTML)
        tm_text_print(document->text, "</body>\n</html>\n");
}

void tm_document_heading(struct tm_document *document, const char *heading)
{
    static const char *const before[] = {"", "## ", "<h2>"}, *const after[] = {"\n", "\n\n", "</h2>\n"};
    enter(document, NOTHING);
    tm_text_print(document->text, "%s", before[document->format]);
    add(document, heading);
    tm_text_print(document->text, "%s", after[document->format]);
}

void tm_document_paragraph(struct tm_document *document, const char *sentence)
{
    static const char *const before[] = {"", "", "<p>"}, *const after[] = {"\n\n", "\n\n", "</p>\n"};
    enter(document, NOTHING);
    tm_text_print(document->text, "%s", before[document->format]);
    add(document, sentence);
    tm_text_print(document->text, "%s", after[document->format]);
}

void tm_document_item(struct tm_document *document, const char *sentence)
{
    static const char *const before[] = {"  ", "- ", "<li>"}, *const after[] = {"\n", "\n", "</li>\n"};
    if (enter(document, ITEMS) && document->format == TM_DOCUMENT_HTML)
        tm_text_print(document->text, "<ul>\n");
    tm_text_print(document->text, "%s", before[document->format]);
    add(document, sentence);
    tm_text_print(document->text, "%s", after[document->format]);
}

void tm_document_fact(struct tm_document *document, const char *name, const char *value)
{
    struct tm_text *text = document->text;
    bool first = enter(document, FACTS);
    switch (document->format) {
    case TM_DOCUMENT_TEXT:
        tm_text_print(text, "%s:%*s%s\n", name, strlen(name) < 14 ? (int)(14 - strlen(name)) : 1, "", value);
        return;
    case TM_DOCUMENT_MARKDOWN:
        tm_text_print(text, "%s| %s | ", first ? "| | |\n|:--|:--|\n" : "", name);
        add(document, value);
        tm_text_print(text, " |\n");
        return;
    case TM_DOCUMENT_HTML:
        tm_text_print(text, "%s<tr><th>%s</th><td>", first ? "<table>\n" : "", name);
        add(document, value);
        tm_text_print(text, "</td></tr>\n");
        return;
    }
}

void tm_document_table(struct tm_document *document, const struct tm_document_column *columns, uint32_t count)
{
    struct tm_text *text = document->text;
    static const char *const begin[] = {"", "|", "<table>\n<tr>"}, *const end[] = {"\n", "\n|", "</tr>\n"};
    enter(document, NOTHING);
    enter(document, TABLE);
    document->columns = columns;
    document->column_count = count;
    tm_text_print(text, "%s", begin[document->format]);
    for (uint32_t i = 0; i < count; i++) {
        const struct tm_document_column *column = &columns[i];
        if (document->format == TM_DOCUMENT_TEXT)
            tm_text_print(text, "%*s%s", (int)column->width, column->name, i + 1 < count ? "  " : "");
        else if (document->format == TM_DOCUMENT_MARKDOWN)
            tm_text_print(text, " %s |", column->name);
        else
            tm_text_print(text, column->width ? "<th class=\"n\">%s</th>" : "<th>%s</th>", column->name);
    }
    tm_text_print(text, "%s", end[document->format]);
    for (uint32_t i = 0; i < count && document->format == TM_DOCUMENT_MARKDOWN; i++)
        tm_text_print(text, columns[i].width ? "--:|" : ":--|");
    tm_text_print(text, document->format == TM_DOCUMENT_MARKDOWN ? "\n" : "");
}

/* The last cell, and what stands below it. */
static void add_place(struct tm_document *document, const char *place, const char *below)
{
    static const char *const between[] = {"\n      ", "<br>", "<br>"};
    add_code(document, place);
    if (!*below)
        return;
    tm_text_print(document->text, "%s", between[document->format]);
    add_code(document, below);
}

void tm_document_row(struct tm_document *document, const struct tm_text *cells)
{
    struct tm_text *text = document->text;
    const char *cell = cells->bytes;
    static const char *const begin[] = {"", "|", "<tr>"}, *const end[] = {"\n", "\n", "</tr>\n"};
    if (!cell || cells->failed)
        return;
    tm_text_print(text, "%s", begin[document->format]);
    for (uint32_t i = 0; i < document->column_count; i++) {
        const char *next = strchr(cell, 0) + 1;
        bool last = i + 1 == document->column_count, number = document->columns[i].width > 0;
        if (document->format == TM_DOCUMENT_HTML)
            tm_text_print(text, number ? "<td class=\"n\">" : "<td>");
        else if (document->format == TM_DOCUMENT_MARKDOWN)
            tm_text_print(text, " ");
        if (last)
            add_place(document, cell, next);
        else if (document->format == TM_DOCUMENT_TEXT)
            tm_text_print(text, "%*s  ", (int)document->columns[i].width, cell);
        else if (number)
            add(document, cell);
        else
            add_code(document, cell);
        if (document->format == TM_DOCUMENT_HTML)
            tm_text_print(text, "</td>");
        else if (document->format == TM_DOCUMENT_MARKDOWN)
            tm_text_print(text, " |");
        cell = next;
    }
    tm_text_print(text, "%s", end[document->format]);
}

void tm_document_code(struct tm_document *document, const struct tm_text *lines)
{
    struct tm_text *text = document->text;
    const char *bytes = lines->bytes ? lines->bytes : "";
    enter(document, NOTHING);
    if (document->format == TM_DOCUMENT_HTML) {
        tm_text_print(text, "<pre>");
        add_html(text, bytes);
        tm_text_print(text, "</pre>\n");
        return;
    }
    size_t ticks = longest_run(bytes, '`') + 1;
    ticks = document->format == TM_DOCUMENT_TEXT ? 0 : ticks < 3 ? 3 : ticks;
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < ticks; i++)
            tm_text_add(text, "`", 1);
        tm_text_print(text, ticks ? "\n" : "");
        tm_text_print(text, "%s", side ? "\n" : bytes);
    }
}
