/* SPDX-License-Identifier: MIT */
/*
 * The call tree: where the memory was asked for, from the outermost frame inwards.  A node is a line (file, function) as
 * called from its parent; its own blocks were allocated there, its total is what all that it called allocated as well.
 */
#ifndef TM_TREE_H
#define TM_TREE_H

#include "statistics.h"

struct tm_tree_node {
    uint32_t parent; /* < own number; 0: the root, which is no frame */
    uint32_t location;
    uint32_t depth; /* 1 for outermost frames */
    struct tm_total own;
    struct tm_total total;
    uint32_t children; /* how many */
    uint32_t place;    /* among its parent's children */
    uint32_t first;    /* its children are order[first] to order[first + children - 1], the biggest first */
};

struct tm_tree {
    struct tm_tree_node *nodes; /* [0] is the root */
    uint32_t count;
    uint32_t *order;
};

/* totals: per stack of the model, NULL: the model's own.  Not for TM_GROUP_TRACEBACK. */
struct tm_error *tm_tree_make(const struct tm_model *model, const struct tm_total *totals, enum tm_group group,
                              struct tm_tree *ret);
void tm_tree_free(struct tm_tree *tree);

#endif
