# SPDX-License-Identifier: MIT
"""get_object_traceback() is exact for every kind of object, whatever lies before it in its block."""
import sys

import tm


class Plain:
    pass


class Slotted:
    __slots__ = ("a", "b")


class Weak:
    __slots__ = ("__weakref__", "a")


class Number(int):
    pass


class Text(str):
    pass


class Items(list):
    pass


class Pairs(dict):
    pass


class Several(tuple):
    pass


def function():
    yield


def line():
    return sys._getframe(1).f_lineno


# 3.14: ranges come from a free list (Objects/rangeobject.c), where older ones may lie.
held = [range(i, 10000) for i in range(100)]
tm.start(2)
# One after the other on lines of their own; each line's number is taken by its first item.
made = [
    (line(), Plain()),
    (line(), Slotted()),
    (line(), Weak()),
    (line(), Number(1 << line())),
    (line(), Text("text")),
    (line(), Items()),
    (line(), Pairs()),
    (line(), Several((1, 2))),
    (line(), bytes(100)),
    (line(), bytearray(5)),
    (line(), "x" * line()),
    (line(), 1 << 90 + line()),
    (line(), 3.5j * line()),
    (line(), set()),
    (line(), frozenset([1])),
    (line(), memoryview(bytes(line()))),
    (line(), type("Made", (), {})),
    (line(), object()),
    (line(), lambda: None),
    (line(), range(line(), 10000)),
    (line(), bytes(1 << 20)),
    (line(), "y" * (1 << 20)),
]
for lineno, thing in made:
    traceback = tm.get_object_traceback(thing)
    assert traceback is not None, (type(thing), lineno)
    assert traceback[-1].filename == __file__ and traceback[-1].lineno == lineno, (type(thing), lineno, traceback)
    assert type(traceback) is tm.Traceback and type(traceback[0]) is tm.Frame
    if hasattr(traceback, "total_nframe"):
        assert traceback.total_nframe is None

# Objects that are older than start(), or immortal, are nobody's.
for thing in (None, Plain, sys, 0, (), "", type, int):
    assert tm.get_object_traceback(thing) is None, thing
old = Plain()
tm.clear_traces()
assert tm.get_object_traceback(old) is None
tm.stop()
assert tm.get_object_traceback(Plain()) is None
tm.start()
new = Plain()
assert tm.get_object_traceback(old) is None and tm.get_object_traceback(new)
