/* SPDX-License-Identifier: MIT */
/* Patterns of file names as Python's fnmatch.fnmatchcase() understands them: *, ?, [seq], [!seq], over code points, with
 * nothing special about slashes and dots. */
#ifndef TM_WILDCARD_H
#define TM_WILDCARD_H

#include "model.h"

struct tm_wildcard;

/* normalise: a pattern that ends in ".pyc" means ".py", as in tracemalloc's filters. */
struct tm_error *tm_wildcard_create(struct tm_string_ref pattern, bool normalise, struct tm_wildcard **ret);
void tm_wildcard_destroy(struct tm_wildcard *wildcard);
/* normalise: the same for the name. */
bool tm_wildcard_matches(const struct tm_wildcard *wildcard, struct tm_string_ref name, bool normalise);

#endif
