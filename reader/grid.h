/* SPDX-License-Identifier: MIT */
/*
 * Answers on a terminal: aligned columns as wide as it is, by libsmartcols.  Where output is not a terminal, verbs write
 * tracemalloc's plain lines instead, which other programs read.
 */
#ifndef TM_GRID_H
#define TM_GRID_H

#include "request.h"

enum tm_grid_kind {
    TM_GRID_NUMBER, /* right-aligned */
    TM_GRID_PLACE,  /* a file and a line, the end of which matters: its beginning is cut if the terminal is narrow */
    TM_GRID_REST,   /* gets the rest of the line, and is cut where that ends */
    TM_GRID_ASIDE,  /* the same, for what matters less */
};

struct tm_grid_column {
    const char *name;
    enum tm_grid_kind kind;
};

struct tm_grid;

/* Whether answers are to be grids. */
static inline bool tm_grid_wanted(const struct tm_request *request)
{
    return request->face->width > 0 && !request->json;
}

struct tm_error *tm_grid_create(const struct tm_request *request, const struct tm_grid_column *columns, size_t count,
                                struct tm_grid **ret);
/* One text for each column, with a NUL behind each of them; `text` is emptied. */
struct tm_error *tm_grid_row(struct tm_grid *grid, struct tm_text *text);
/* Ends a cell of a row. */
static inline void tm_grid_next(struct tm_text *text)
{
    tm_text_add(text, "", 1);
}
/* Prints it, unless there was an error in making it; frees it, and the text of its rows; returns what went wrong. */
struct tm_error *tm_grid_end(struct tm_grid *grid, struct tm_text *row, struct tm_error *error,
                             struct tm_output *output);

#endif
