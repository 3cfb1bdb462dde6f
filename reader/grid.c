/* SPDX-License-Identifier: MIT */
#include "grid.h"

#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>

struct tm_grid {
    struct libscols_table *table;
    const struct tm_grid_column *columns;
    size_t column_count;
    size_t place_width; /* characters; 0: as many as there are */
};

/* What numbers and, where there is one, the last column leave to places; but enough to tell one from another. */
static size_t place_width(uint32_t width, const struct tm_grid_column *columns, size_t count)
{
    size_t others = 0, least = 20;
    for (size_t i = 0; i < count; i++)
        others += columns[i].kind == TM_GRID_NUMBER ? 11 : columns[i].kind == TM_GRID_PLACE ? 0 : 8;
    bool alone = columns[count - 1].kind == TM_GRID_PLACE;
    size_t room = width > others + least ? width - others : least;
    return alone || room < width / 2 ? room : width / 2;
}

static void destroy(struct tm_grid *grid)
{
    if (!grid)
        return;
    scols_unref_table(grid->table);
    free(grid);
}

struct tm_error *tm_grid_create(const struct tm_request *request, const struct tm_grid_column *columns, size_t count,
                                struct tm_grid **ret)
{
    struct tm_grid *grid = calloc(1, sizeof(*grid));
    if (!grid)
        return tm_error_no_memory();
    grid->columns = columns;
    grid->column_count = count;
    grid->table = scols_new_table();
    bool ok = grid->table && !scols_table_set_column_separator(grid->table, "  ");
    uint32_t width = request->face->width;
    if (ok) {
        scols_table_enable_colors(grid->table, request->face->colour != 0);
        scols_table_set_termforce(grid->table, SCOLS_TERMFORCE_ALWAYS);
        scols_table_set_termwidth(grid->table, request->no_trunc ? 1 << 20 : width);
        grid->place_width = request->no_trunc ? 0 : place_width(width, columns, count);
    }
    for (size_t i = 0; i < count && ok; i++) {
        enum tm_grid_kind kind = columns[i].kind;
        bool cut = kind >= TM_GRID_REST && !request->no_trunc;
        int flags = kind == TM_GRID_NUMBER ? SCOLS_FL_RIGHT : cut ? SCOLS_FL_TRUNC : 0;
        struct libscols_column *column = scols_table_new_column(grid->table, columns[i].name, 0, flags);
        ok = column;
        struct libscols_cell *header = column ? scols_column_get_header(column) : NULL;
        if (header && request->face->colour)
            ok = !scols_cell_set_color(header, "bold");
        const char *colour = kind == TM_GRID_PLACE ? "cyan" : kind == TM_GRID_ASIDE ? "halfbright" : NULL;
        if (ok && colour && request->face->colour)
            ok = !scols_column_set_color(column, colour);
    }
    if (!ok) {
        destroy(grid);
        return tm_error_no_memory();
    }
    *ret = grid;
    return NULL;
}

/* The last `width` characters, which are what tells one place from another. */
static const char *cut_beginning(char *text, size_t width)
{
    size_t size = strlen(text), characters = 0, used;
    for (size_t i = 0; i < size; i += used) {
        tm_utf8_next(text + i, size - i, &used);
        characters++;
    }
    if (!width || characters <= width)
        return text;
    char *at = text;
    for (; characters > width - 3; characters--) {
        tm_utf8_next(at, strlen(at), &used);
        at += used;
    }
    for (int i = 0; i < 3; i++) /* three or more were cut, each of at least one byte */
        *--at = '.';
    return at;
}

struct tm_error *tm_grid_row(struct tm_grid *grid, struct tm_text *text)
{
    struct libscols_line *line = text->failed ? NULL : scols_table_new_line(grid->table, NULL);
    char *at = text->bytes;
    bool ok = line;
    for (size_t i = 0; i < grid->column_count && ok; i++) {
        char *next = memchr(at, 0, text->bytes + text->size - at);
        if (!next)
            break;
        ok = !scols_line_set_data(line, i,
                                  grid->columns[i].kind == TM_GRID_PLACE ? cut_beginning(at, grid->place_width) : at);
        at = next + 1;
    }
    text->size = 0;
    return ok ? NULL : tm_error_no_memory();
}

static struct tm_error *print(struct tm_grid *grid, struct tm_output *output)
{
    char *text = NULL;
    if (scols_table_is_empty(grid->table))
        return NULL;
    if (scols_print_table_to_string(grid->table, &text) != 0 || !text)
        return tm_error_no_memory();
    tm_text_add(&output->text, text, strlen(text));
    if (text[0] && text[strlen(text) - 1] != '\n')
        tm_text_print(&output->text, "\n");
    free(text);
    return NULL;
}

struct tm_error *tm_grid_end(struct tm_grid *grid, struct tm_text *row, struct tm_error *error,
                             struct tm_output *output)
{
    if (!error)
        error = print(grid, output);
    destroy(grid);
    tm_text_free(row);
    return error;
}
