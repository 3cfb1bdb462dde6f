/* SPDX-License-Identifier: MIT */
/* tree: the call tree, with what each line holds itself and with all that it calls. */
#include <inttypes.h>
#include <string.h>

#include "grid.h"
#include "json.h"
#include "request.h"
#include "statistics.h"
#include "tree.h"

/* enter: of each node that is shown, in the order in which they are shown.  leave: behind its last child, if `folded` of its
 * children are too small to be shown. */
struct show {
    struct tm_error *(*enter)(void *context, const struct tm_tree_node *node);
    struct tm_error *(*leave)(void *context, const struct tm_tree_node *node, uint32_t folded,
                              const struct tm_total *rest);
    void *context;
    const struct tm_output *output; /* nothing more is shown once it is closed */
};

struct walk {
    const struct tm_tree *tree;
    double least; /* bytes of a node that is shown */
};

/* How many of a node's children are shown: the first ones, which are the biggest. */
static uint32_t shown_children(const struct walk *walk, const struct tm_tree_node *node)
{
    uint32_t low = 0, high = node->children;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((double)walk->tree->nodes[walk->tree->order[node->first + middle]].total.bytes >= walk->least)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct tm_total rest_of(const struct walk *walk, const struct tm_tree_node *node, uint32_t shown)
{
    struct tm_total rest = {0};
    for (uint32_t i = shown; i < node->children; i++) {
        const struct tm_total *total = &walk->tree->nodes[walk->tree->order[node->first + i]].total;
        rest.bytes = tm_sum(rest.bytes, total->bytes);
        rest.blocks = tm_sum(rest.blocks, total->blocks);
    }
    return rest;
}

static struct tm_error *leave(const struct walk *walk, const struct show *show, const struct tm_tree_node *node)
{
    uint32_t shown = shown_children(walk, node);
    if (shown == node->children)
        return NULL;
    struct tm_total rest = rest_of(walk, node, shown);
    return show->leave(show->context, node, node->children - shown, &rest);
}

/* Depth first, without recursion: a stack may have more frames than this program's own. */
static struct tm_error *show_tree(const struct walk *walk, const struct show *show)
{
    const struct tm_tree *tree = walk->tree;
    uint32_t at = 0;
    struct tm_error *error = show->enter(show->context, &tree->nodes[0]);
    while (!error && !show->output->closed) {
        if (shown_children(walk, &tree->nodes[at])) {
            at = tree->order[tree->nodes[at].first];
        } else {
            /* The next one is a sibling, of this node or of the nearest above that has one left. */
            error = leave(walk, show, &tree->nodes[at]);
            const struct tm_tree_node *parent = &tree->nodes[tree->nodes[at].parent];
            while (!error && at && tree->nodes[at].place + 1 == shown_children(walk, parent)) {
                at = tree->nodes[at].parent;
                error = leave(walk, show, &tree->nodes[at]);
                parent = &tree->nodes[tree->nodes[at].parent];
            }
            if (error || !at)
                return error;
            at = tree->order[parent->first + tree->nodes[at].place + 1];
        }
        error = show->enter(show->context, &tree->nodes[at]);
    }
    return error;
}

/* ---- text ----------------------------------------------------------------------------------------------------------- */

struct printer {
    struct tm_request *request;
    const struct walk *walk;
    double whole; /* bytes */
    struct tm_grid *grid;
    struct tm_text row;
    struct tm_json_list list;
};

static void indent(struct tm_text *text, uint32_t depth)
{
    /* Deeper than this nobody counts; and a recursion of thousands would print millions of spaces. */
    uint32_t steps = depth < 60 ? depth : 60;
    tm_text_print(text, "%*s", (int)steps * 2, "");
}

static void percent(struct tm_text *text, const struct printer *printer, int64_t bytes)
{
    tm_text_print(text, "%.1f%%", printer->whole > 0 ? (double)bytes * 100 / printer->whole : 0.0);
}

static struct tm_error *print_node(void *context, const struct tm_tree_node *node)
{
    struct printer *printer = context;
    struct tm_request *request = printer->request;
    struct tm_text *text = &request->output->text;
    if (!node->depth)
        return NULL;
    indent(text, node->depth - 1);
    tm_text_group(text, request->model, request->group, node->location);
    tm_text_print(text, ": ");
    tm_text_numbers(text, node->total.bytes, node->total.blocks);
    tm_text_print(text, ", own=");
    tm_text_add_size(text, (double)node->own.bytes, false);
    tm_text_print(text, ", ");
    percent(text, printer, node->total.bytes);
    tm_text_print(text, "\n");
    tm_output_some(request->output);
    return NULL;
}

static struct tm_error *print_rest(void *context, const struct tm_tree_node *node, uint32_t folded,
                                   const struct tm_total *rest)
{
    struct printer *printer = context;
    struct tm_text *text = &printer->request->output->text;
    indent(text, node->depth);
    tm_text_print(text, "%" PRIu32 " smaller: ", folded);
    tm_text_numbers(text, rest->bytes, rest->blocks);
    tm_text_print(text, "\n");
    return NULL;
}

static void add_cells(struct printer *printer, const struct tm_total *total, int64_t own)
{
    struct tm_text *row = &printer->row;
    tm_text_add_size(row, (double)total->bytes, false);
    tm_grid_next(row);
    percent(row, printer, total->bytes);
    tm_grid_next(row);
    if (own)
        tm_text_add_size(row, (double)own, false);
    tm_grid_next(row);
    tm_text_print(row, "%" PRId64, total->blocks);
    tm_grid_next(row);
}

/* A terminal has little room beside the branches: of a path, its last folder and the file, so that the line is seen. */
static void add_place(struct tm_text *row, const struct tm_request *request, uint32_t location)
{
    struct tm_text place = {0};
    tm_text_group(&place, request->model, request->group, location);
    const char *from = place.bytes ? place.bytes : "";
    const char *last = strrchr(from, '/'), *before = last;
    while (before && before > from && *--before != '/')
        continue;
    bool cut = !request->no_trunc && request->group != TM_GROUP_FUNCTION && before && before > from + 3;
    tm_text_print(row, "%s%s", cut ? "..." : "", cut ? before : from);
    tm_text_free(&place);
}

static struct tm_error *add_node(void *context, const struct tm_tree_node *node)
{
    struct printer *printer = context;
    const struct tm_request *request = printer->request;
    struct tm_text *row = &printer->row;
    if (!node->depth)
        return NULL;
    add_cells(printer, &node->total, node->own.bytes);
    indent(row, node->depth - 1);
    uint32_t name = request->model->locations[node->location].name;
    if (name && request->group == TM_GROUP_LINENO) {
        tm_text_add_name(row, tm_model_text(request->model, name));
        tm_text_print(row, "  ");
    }
    add_place(row, request, node->location);
    tm_grid_next(row);
    return tm_grid_row(printer->grid, row);
}

static struct tm_error *add_rest(void *context, const struct tm_tree_node *node, uint32_t folded,
                                 const struct tm_total *rest)
{
    struct printer *printer = context;
    add_cells(printer, rest, 0);
    indent(&printer->row, node->depth);
    tm_text_print(&printer->row, "(%" PRIu32 " smaller)", folded);
    tm_grid_next(&printer->row);
    return tm_grid_row(printer->grid, &printer->row);
}

static struct tm_error *print_grid(struct printer *printer)
{
    static const struct tm_grid_column columns[] = {
        {"TOTAL", TM_GRID_NUMBER},  {"%", TM_GRID_NUMBER},   {"OWN", TM_GRID_NUMBER},
        {"BLOCKS", TM_GRID_NUMBER}, {"WHERE", TM_GRID_REST},
    };
    struct tm_error *error =
        tm_grid_create(printer->request, columns, sizeof(columns) / sizeof(columns[0]), &printer->grid);
    if (!error)
        error = show_tree(printer->walk, &(struct show){add_node, add_rest, printer, printer->request->output});
    return tm_grid_end(printer->grid, &printer->row, error, printer->request->output);
}

static struct tm_error *print_text(struct printer *printer)
{
    struct tm_request *request = printer->request;
    tm_print_header(request);
    tm_text_print(&request->output->text, "\n");
    if (!printer->walk->tree->nodes[0].children)
        tm_text_print(&request->output->text, "no live blocks\n");
    if (tm_grid_wanted(request))
        return print_grid(printer);
    return show_tree(printer->walk, &(struct show){print_node, print_rest, printer, request->output});
}

/* ---- JSON ----------------------------------------------------------------------------------------------------------- */

static struct tm_error *add_object(void *context, const struct tm_tree_node *node)
{
    struct printer *printer = context;
    const struct tm_request *request = printer->request;
    struct json_object *entry = json_object_new_object();
    uint32_t folded = node->children - shown_children(printer->walk, node);
    tm_json_put(entry, "depth", json_object_new_int64(node->depth));
    if (node->depth)
        tm_json_put(entry, "frame",
                    tm_json_frame(request->model, node->location, request->group == TM_GROUP_LINENO,
                                  request->group != TM_GROUP_FILENAME));
    tm_json_put(entry, "size", json_object_new_int64(node->total.bytes));
    tm_json_put(entry, "count", json_object_new_int64(node->total.blocks));
    tm_json_put(entry, "own_size", json_object_new_int64(node->own.bytes));
    tm_json_put(entry, "own_count", json_object_new_int64(node->own.blocks));
    if (folded)
        tm_json_put(entry, "smaller", json_object_new_int64(folded));
    tm_json_item(&printer->list, entry);
    return NULL;
}

/* What is folded follows from what is shown. */
static struct tm_error *add_nothing(void *context, const struct tm_tree_node *node, uint32_t folded,
                                    const struct tm_total *rest)
{
    (void)context;
    (void)node;
    (void)folded;
    (void)rest;
    return NULL;
}

static struct tm_error *print_json(struct printer *printer)
{
    struct tm_request *request = printer->request;
    struct json_object *answer = json_object_new_object();
    tm_json_put_source(answer, request->model);
    tm_json_put(answer, "group_by", json_object_new_string(tm_group_names[request->group]));
    tm_json_put_total(answer, request->model);
    tm_json_put_selected(answer, request);
    tm_json_put_incomplete(answer, request->model);
    struct tm_error *error = tm_json_begin(answer, "nodes", request->output, &printer->list);
    if (!error)
        error = show_tree(printer->walk, &(struct show){add_object, add_nothing, printer, request->output});
    return error ? error : tm_json_end(&printer->list);
}

struct tm_error *tm_run_tree(struct tm_request *request)
{
    if (request->group == TM_GROUP_TRACEBACK)
        return tm_error_try(tm_error_because(tm_error(TM_ERROR_USAGE, "a tree cannot be made --by traceback"),
                                             "its branches are the tracebacks"),
                            "--by lineno, filename or function");
    struct tm_error *error = tm_request_needs_names(request);
    struct tm_tree tree = {0};
    if (!error)
        error = tm_tree_make(request->model, tm_request_totals(request), request->group, &tree);
    if (error)
        return error;
    double whole = (double)tree.nodes[0].total.bytes;
    struct walk walk = {&tree, whole * request->min_percent / 100};
    struct printer printer = {.request = request, .walk = &walk, .whole = whole};
    error = request->json ? print_json(&printer) : print_text(&printer);
    tm_tree_free(&tree);
    return error;
}
