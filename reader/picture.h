/* SPDX-License-Identifier: MIT */
/*
 * What a picture shows: the call trees of one source or of two, laid over one another, without the parts that would be
 * too small to see or too deep to draw.
 */
#ifndef TM_PICTURE_H
#define TM_PICTURE_H

#include "export.h"
#include "tree.h"

struct tm_picture_node {
    uint32_t parent; /* < own number */
    uint32_t line;   /* number of its file and line, the same in both sources */
    uint32_t location;
    uint8_t side; /* whose location: 0 is the new source, 1 the old one */
    uint32_t depth;
    bool folded;                /* this node and all below it are not shown, but added up in the parent */
    struct tm_total own[2];     /* per side */
    struct tm_total total[2];   /* with all below */
    struct tm_total smaller[2]; /* of the children that are folded */
    uint32_t smaller_count;     /* nodes that are folded, all below included */
};

struct tm_picture {
    struct tm_picture_node *nodes; /* [0] is the root, which stands nowhere */
    uint32_t count;
    uint32_t folded; /* nodes in all */
};

/* At most `limit` nodes are not folded, the biggest ones; and none that is deeper than `max_depth`. */
struct tm_error *tm_picture_make(const struct tm_source *const *sides, size_t side_count, uint32_t limit,
                                 uint32_t max_depth, struct tm_picture *ret);
void tm_picture_free(struct tm_picture *picture);

#endif
