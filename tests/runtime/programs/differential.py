# SPDX-License-Identifier: MIT
"""Runs programs under tm and the standard library's tracemalloc at once, and compares what they say of each object.

    PYTHONTM=LIMIT ... differential.py LIMIT OBJECTS [PROGRAM...]

The objects are of types without a free list, so that each is an allocation of its own.  Every seventh brings along what
sys._getframe() says, with function names, as a second witness.  Prints one line of JSON.
"""
import json
import sys
import tracemalloc

import calls
import switches
import unwinding
from tm import _tm

HAS_QUALNAME = sys.version_info >= (3, 11)


class Slotted:
    __slots__ = ("a", "b", "c")


class Plain:
    pass


class Keeper:
    """keep(x) makes an object and remembers it; the compared frames are those of the caller of keep()."""

    def __init__(self):
        self.objects = []
        self.count = 0

    def __call__(self, *ignored):
        self.count += 1
        kind = self.count % 7
        if kind == 0:
            made = bytes(40 + self.count % 90)
        elif kind == 1:
            made = tuple(range(25))
        elif kind == 2:
            made = Slotted()
        elif kind == 3:
            made = "x" * (50 + self.count % 90)
        elif kind == 4:
            made = bytes(600 + self.count % 4000)
        elif kind == 5:
            made = 1 << (100 + self.count % 90)
        else:
            made, chain = bytes(40 + self.count % 90), chain_of(sys._getframe())
            self.objects.append((made, chain))
            return made
        self.objects.append((made, None))
        return made


def chain_of(frame):
    chain = []
    while frame and len(chain) < LIMIT:
        code = frame.f_code
        chain.append((code.co_filename, frame.f_lineno, code.co_qualname if HAS_QUALNAME else code.co_name))
        frame = frame.f_back
    return chain


def compare(keeper, differences):
    for made, chain in keeper.objects:
        ours = _tm._get_object_traceback(made)
        stock = tracemalloc.get_object_traceback(made)
        ours = list(ours[0]) if ours else []
        stock = [(frame.filename, frame.lineno) for frame in reversed(stock or ())]
        if [frame[:2] for frame in ours] != stock:
            differences.append({"ours": ours, "stock": stock})
        elif chain and ours != chain:
            differences.append({"ours": ours, "getframe": chain})


def main():
    global LIMIT
    LIMIT = int(sys.argv[1])
    wanted = sys.argv[3:]
    sys.setrecursionlimit(5000)
    assert _tm.is_tracing() and _tm.get_traceback_limit() == LIMIT
    tracemalloc.start(LIMIT)
    report = {"objects": 0, "programs": {}}
    for program in calls.ALL + switches.ALL + unwinding.ALL:
        if wanted and program.__name__ not in wanted:
            continue
        keeper = Keeper()
        program(keeper, int(sys.argv[2]))
        differences = []
        compare(keeper, differences)
        report["objects"] += len(keeper.objects)
        report["programs"][program.__name__] = [len(keeper.objects), len(differences), differences[:2]]
    tracemalloc.stop()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
