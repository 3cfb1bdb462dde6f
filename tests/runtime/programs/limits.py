# SPDX-License-Identifier: MIT
"""Starts with a few frames, then with more: prints how many frames each object's traceback has, and should have."""
import json
import sys

import tm


def keep(kept):
    depth = -1  # of the callers
    frame = sys._getframe()
    while frame:
        depth += 1
        frame = frame.f_back
    kept.append((object(), depth + 1))


def go_down(depth, kept, come_back):
    if not depth:
        keep(kept)
    else:
        go_down(depth - 1, kept, come_back)
        if come_back and depth % 5 == 0:
            keep(kept)


def fill_cache(depth):
    return fill_cache(depth - 1) if depth else object()


def lengths(come_back):
    kept = []
    fill_cache(60)
    go_down(30, kept, come_back)
    return [[len(tm.get_object_traceback(kept_object)), depth] for kept_object, depth in kept]


report = []
for limit, come_back in ((3, False), (3, True), (25, True), (2, True), (60, True)):
    tm.start(limit)
    report.append([limit, lengths(come_back)])
    tm.stop()
print(json.dumps(report))
