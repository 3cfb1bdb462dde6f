# SPDX-License-Identifier: MIT
"""Greenlets that switch to one another from any depth, also out of calls of C, end in exceptions, and are looked at while
they wait: greenlet links their frames past those of C then.  Prints how many objects there were, and how many had other
tracebacks than tracemalloc says.

    PYTHONTM=LIMIT ... greenlets.py LIMIT OBJECTS
"""
import json
import random
import sys
import tracemalloc

import greenlet
from tm import _tm

LIMIT, OBJECTS = map(int, sys.argv[1:])
chance = random.Random(OBJECTS)
main = greenlet.getcurrent()
kept = []
pool = []


def luck(probability):
    return chance.random() < probability


def keep():
    kept.append(b"x" * (40 + len(kept) % 90))


def switch():
    keep()
    other = chance.choice(pool) if luck(.95) else main
    if not other.dead and other is not greenlet.getcurrent():
        other.switch()
    keep()


def work(depth):
    for _ in range(3):
        keep()
        if depth and luck(.7):
            work(depth - 1)
        if luck(.3):
            switch()
        keep()
        if depth and luck(.3):
            sorted([3, 2, 1], key=lambda number: (work(depth - 1) if luck(.5) else switch(), number)[1])
        if luck(.05):
            raise KeyError
        if luck(.05):
            [other.gr_frame for other in pool]


def body():
    try:
        work(chance.randrange(2, 6))
    except KeyError:
        pass
    keep()


def compare():
    different = 0
    for made in kept:
        ours = _tm._get_object_traceback(made)
        stock = tracemalloc.get_object_traceback(made)
        different += [frame[:2] for frame in ours[0]] != [(frame.filename, frame.lineno) for frame in reversed(stock)]
    return different


tracemalloc.start(LIMIT)
while len(kept) < OBJECTS:
    pool[:] = [other for other in pool if not other.dead]
    while len(pool) < 6:
        pool.append(greenlet.greenlet(body))
    keep()
    for other in list(pool):
        if not other.dead:
            other.switch()
            keep()
print(json.dumps([len(kept), compare()]))
