/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* reallocarray */
#include "picture.h"

#include <stdlib.h>

#include "differences.h"
#include "string_table.h"

struct maker {
    struct tm_picture *picture;
    uint32_t *table; /* number of a node plus 1, by parent and line; 0: free */
    size_t table_size;
};

static size_t at_first(const struct maker *maker, uint32_t parent, uint32_t line)
{
    return tm_mix((uint64_t)parent << 32 | line) & (maker->table_size - 1);
}

/* Room for all nodes at once: there are never more than both trees have. */
static struct tm_error *reserve(struct maker *maker, size_t nodes)
{
    struct tm_picture *picture = maker->picture;
    maker->table_size = 1024;
    while (maker->table_size < nodes * 2)
        maker->table_size *= 2;
    maker->table = calloc(maker->table_size, sizeof(*maker->table));
    picture->nodes = calloc(nodes + 1, sizeof(*picture->nodes));
    return maker->table && picture->nodes ? NULL : tm_error_no_memory();
}

static uint32_t find_or_add(struct maker *maker, uint32_t parent, uint32_t line)
{
    struct tm_picture *picture = maker->picture;
    size_t at = at_first(maker, parent, line);
    for (; maker->table[at]; at = (at + 1) & (maker->table_size - 1)) {
        const struct tm_picture_node *node = &picture->nodes[maker->table[at] - 1];
        if (node->parent == parent && node->line == line)
            return maker->table[at] - 1;
    }
    picture->nodes[picture->count] =
        (struct tm_picture_node){.parent = parent, .line = line, .depth = picture->nodes[parent].depth + 1};
    maker->table[at] = ++picture->count;
    return picture->count - 1;
}

static struct tm_error *lay_over(struct maker *maker, const struct tm_tree *tree, const uint32_t *lines, uint8_t side)
{
    struct tm_picture *picture = maker->picture;
    uint32_t *number = calloc(tree->count, sizeof(*number));
    if (!number)
        return tm_error_no_memory();
    for (uint32_t i = 0; i < tree->count; i++) {
        const struct tm_tree_node *from = &tree->nodes[i];
        if (i)
            number[i] = find_or_add(maker, number[from->parent], lines[from->location]);
        struct tm_picture_node *to = &picture->nodes[number[i]];
        to->side = side;
        to->location = from->location;
        to->own[side] = from->own;
        to->total[side] = from->total;
    }
    free(number);
    return NULL;
}

/* ---- what is too small ---------------------------------------------------------------------------------------------- */

static int64_t weight(const struct tm_picture_node *node)
{
    return node->total[0].bytes > node->total[1].bytes ? node->total[0].bytes : node->total[1].bytes;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a < b) - (a > b);
}

static void add(struct tm_total *sum, const struct tm_total *total)
{
    sum->bytes = tm_sum(sum->bytes, total->bytes);
    sum->blocks = tm_sum(sum->blocks, total->blocks);
}

/* *ret: nodes of this weight or less are folded. */
static struct tm_error *find_least(const struct tm_picture *picture, uint32_t limit, int64_t *ret)
{
    *ret = INT64_MIN;
    if (picture->count <= limit)
        return NULL;
    int64_t *weights = malloc(picture->count * sizeof(*weights));
    if (!weights)
        return tm_error_no_memory();
    for (uint32_t i = 0; i < picture->count; i++)
        weights[i] = weight(&picture->nodes[i]);
    qsort(weights, picture->count, sizeof(*weights), compare);
    *ret = weights[limit];
    free(weights);
    return NULL;
}

static void fold(struct tm_picture *picture, int64_t least, uint32_t max_depth)
{
    for (uint32_t i = 1; i < picture->count; i++) {
        struct tm_picture_node *node = &picture->nodes[i], *parent = &picture->nodes[node->parent];
        node->folded = parent->folded || weight(node) <= least || node->depth > max_depth;
        if (node->folded && !parent->folded) {
            for (int side = 0; side < 2; side++)
                add(&parent->smaller[side], &node->total[side]);
        }
    }
    /* Children come behind their parents. */
    for (uint32_t i = picture->count - 1; i > 0; i--) {
        struct tm_picture_node *node = &picture->nodes[i];
        if (node->folded) {
            picture->nodes[node->parent].smaller_count += 1 + node->smaller_count;
            picture->folded++;
        }
    }
}

struct tm_error *tm_picture_make(const struct tm_source *const *sides, size_t side_count, uint32_t limit,
                                 uint32_t max_depth, struct tm_picture *ret)
{
    *ret = (struct tm_picture){0};
    struct maker maker = {.picture = ret};
    struct tm_tree trees[2] = {{0}};
    const struct tm_model *models[2] = {NULL};
    uint32_t *lines[2] = {NULL};
    size_t nodes = 1;
    struct tm_error *error = NULL;
    for (size_t i = 0; i < side_count && !error; i++) {
        models[i] = sides[i]->model;
        error = tm_tree_make(models[i], tm_source_totals(sides[i]), TM_GROUP_LINENO, &trees[i]);
        nodes += trees[i].count;
    }
    if (!error)
        error = tm_number_lines(models, side_count, TM_GROUP_LINENO, lines);
    if (!error)
        error = reserve(&maker, nodes);
    if (!error)
        ret->count = 1;
    /* The old source first, so that nodes are told in the words of the new one where both know them. */
    for (size_t i = side_count; i-- > 0 && !error;)
        error = lay_over(&maker, &trees[i], lines[i], (uint8_t)i);
    int64_t least = 0;
    if (!error)
        error = find_least(ret, limit, &least);
    if (!error)
        fold(ret, least, max_depth);
    for (size_t i = 0; i < side_count; i++) {
        tm_tree_free(&trees[i]);
        free(lines[i]);
    }
    free(maker.table);
    if (error)
        tm_picture_free(ret);
    return error;
}

void tm_picture_free(struct tm_picture *picture)
{
    free(picture->nodes);
    *picture = (struct tm_picture){0};
}
