/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* qsort_r */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#include "differences.h"
#include "string_table.h"
#include "windows.h"

struct maker {
    const struct tm_model *model;
    uint32_t *lines; /* per location: equal for those that are one node if their parents are */
    struct tm_tree *tree;
    uint32_t room;
    uint32_t *table; /* number of a node; 0: free */
    size_t table_size;
    uint32_t *node_of; /* per stack whose outermost frame is shown: its node; 0: not made yet */
    uint32_t *path;    /* scratch */
};

static size_t place_of(const struct maker *maker, uint32_t parent, uint32_t line)
{
    return tm_mix((uint64_t)parent << 32 | line) & (maker->table_size - 1);
}

static struct tm_error *grow_table(struct maker *maker)
{
    size_t size = maker->table_size ? maker->table_size * 2 : 1024;
    uint32_t *table = calloc(size, sizeof(*table));
    if (!table)
        return tm_error_no_memory();
    free(maker->table);
    maker->table = table;
    maker->table_size = size;
    for (uint32_t i = 1; i < maker->tree->count; i++) {
        const struct tm_tree_node *node = &maker->tree->nodes[i];
        size_t at = place_of(maker, node->parent, maker->lines[node->location]);
        while (table[at])
            at = (at + 1) & (size - 1);
        table[at] = i;
    }
    return NULL;
}

static struct tm_error *add_node(struct maker *maker, uint32_t parent, uint32_t location, uint32_t *ret)
{
    struct tm_tree *tree = maker->tree;
    if (tree->count == maker->room) {
        uint32_t room = maker->room ? maker->room * 2 : 512;
        struct tm_tree_node *nodes = room ? reallocarray(tree->nodes, room, sizeof(*nodes)) : NULL;
        if (!nodes)
            return tm_error_no_memory();
        tree->nodes = nodes;
        maker->room = room;
    }
    if (tree->count * (size_t)2 >= maker->table_size) {
        struct tm_error *error = grow_table(maker);
        if (error)
            return error;
    }
    tree->nodes[tree->count] = (struct tm_tree_node){
        .parent = parent, .location = location, .depth = tree->count ? tree->nodes[parent].depth + 1 : 0};
    *ret = tree->count++;
    return NULL;
}

static struct tm_error *child(struct maker *maker, uint32_t parent, uint32_t location, uint32_t *ret)
{
    uint32_t line = maker->lines[location];
    size_t at = place_of(maker, parent, line);
    for (; maker->table[at]; at = (at + 1) & (maker->table_size - 1)) {
        const struct tm_tree_node *node = &maker->tree->nodes[maker->table[at]];
        if (node->parent == parent && maker->lines[node->location] == line) {
            *ret = maker->table[at];
            return NULL;
        }
    }
    struct tm_error *error = add_node(maker, parent, location, ret);
    if (error)
        return error;
    at = place_of(maker, parent, line); /* the table may have grown */
    while (maker->table[at])
        at = (at + 1) & (maker->table_size - 1);
    maker->table[at] = *ret;
    return NULL;
}

/* Node of a stack.  Where its outermost frame is shown, so is that of the stack below: each stack is one step from that. */
static struct tm_error *find_node(struct maker *maker, uint32_t stack, uint32_t end, uint32_t *ret)
{
    const struct tm_model *model = maker->model;
    uint32_t count = 0, node = 0;
    for (; stack != end; stack = model->stacks[stack].parent) {
        if (!end && maker->node_of[stack]) {
            node = maker->node_of[stack];
            break;
        }
        maker->path[count++] = stack;
    }
    struct tm_error *error = NULL;
    while (count && !error) {
        uint32_t at = maker->path[--count];
        error = child(maker, node, model->stacks[at].location, &node);
        if (!end)
            maker->node_of[at] = node;
    }
    *ret = node;
    return error;
}

static struct tm_error *add_stacks(struct maker *maker, const struct tm_total *totals)
{
    const struct tm_model *model = maker->model;
    struct tm_windows windows;
    struct tm_error *error = tm_windows_init(&windows, model, NULL, false);
    if (error)
        return error;
    for (uint32_t i = 0; i < model->stack_count && !error; i++) {
        if (!(totals[i].bytes | totals[i].blocks))
            continue;
        uint32_t node = 0;
        error = i ? find_node(maker, i, tm_window_end(&windows, i), &node) : child(maker, 0, 0, &node);
        struct tm_total *own = &maker->tree->nodes[error ? 0 : node].own;
        own->bytes = tm_sum(own->bytes, totals[i].bytes);
        own->blocks = tm_sum(own->blocks, totals[i].blocks);
    }
    tm_windows_deinit(&windows);
    return error;
}

static int compare(const void *left, const void *right, void *context)
{
    const struct tm_tree *tree = context;
    const struct tm_tree_node *a = &tree->nodes[*(const uint32_t *)left], *b = &tree->nodes[*(const uint32_t *)right];
    if (a->total.bytes != b->total.bytes)
        return a->total.bytes > b->total.bytes ? -1 : 1;
    if (a->total.blocks != b->total.blocks)
        return a->total.blocks > b->total.blocks ? -1 : 1;
    return (a->location > b->location) - (a->location < b->location);
}

/* Totals from the leaves to the root; then the children of each node side by side. */
static struct tm_error *finish(struct tm_tree *tree)
{
    tree->order = calloc(tree->count, sizeof(*tree->order));
    if (!tree->order)
        return tm_error_no_memory();
    for (uint32_t i = tree->count; i-- > 0;) {
        struct tm_tree_node *node = &tree->nodes[i], *parent = &tree->nodes[node->parent];
        node->total.bytes = tm_sum(node->total.bytes, node->own.bytes);
        node->total.blocks = tm_sum(node->total.blocks, node->own.blocks);
        if (!i)
            break;
        parent->total.bytes = tm_sum(parent->total.bytes, node->total.bytes);
        parent->total.blocks = tm_sum(parent->total.blocks, node->total.blocks);
        parent->children++;
    }
    uint32_t used = 0;
    for (uint32_t i = 0; i < tree->count; i++) {
        tree->nodes[i].first = used;
        used += tree->nodes[i].children;
        tree->nodes[i].children = 0;
    }
    for (uint32_t i = 1; i < tree->count; i++) {
        struct tm_tree_node *parent = &tree->nodes[tree->nodes[i].parent];
        tree->order[parent->first + parent->children++] = i;
    }
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct tm_tree_node *node = &tree->nodes[i];
        if (node->children > 1)
            qsort_r(tree->order + node->first, node->children, sizeof(*tree->order), compare, tree);
        for (uint32_t j = 0; j < node->children; j++)
            tree->nodes[tree->order[node->first + j]].place = j;
    }
    return NULL;
}

struct tm_error *tm_tree_make(const struct tm_model *model, const struct tm_total *totals, enum tm_group group,
                              struct tm_tree *ret)
{
    *ret = (struct tm_tree){0};
    struct maker maker = {.model = model, .tree = ret};
    maker.node_of = calloc(model->stack_count, sizeof(*maker.node_of));
    maker.path = calloc(model->stack_count, sizeof(*maker.path));
    uint32_t root;
    struct tm_error *error = maker.node_of && maker.path ? NULL : tm_error_no_memory();
    if (!error)
        error = tm_number_lines(&model, 1, group, &maker.lines);
    if (!error)
        error = add_node(&maker, 0, 0, &root);
    if (!error)
        error = add_stacks(&maker, totals ? totals : model->totals);
    if (!error)
        error = finish(ret);
    free(maker.lines);
    free(maker.table);
    free(maker.node_of);
    free(maker.path);
    if (error)
        tm_tree_free(ret);
    return error;
}

void tm_tree_free(struct tm_tree *tree)
{
    free(tree->nodes);
    free(tree->order);
    *tree = (struct tm_tree){0};
}
