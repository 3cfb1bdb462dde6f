# SPDX-License-Identifier: MIT
"""A change of the table between two SIGUSR1: for test_every_instruction.py.

    step_target.py CHANGE
"""
import ctypes
import gc
import os
import signal
import sys

TRACEME = 0  # sys/ptrace.h

raw = ctypes.PyDLL(None)  # keeps the GIL
raw.PyMem_RawMalloc.restype, raw.PyMem_RawMalloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
raw.PyMem_RawRealloc.restype, raw.PyMem_RawRealloc.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]
raw.PyMem_RawFree.restype, raw.PyMem_RawFree.argtypes = None, [ctypes.c_void_p]

place, size = [None], 700


def mark(kill=os.kill, pid=os.getpid(), number=signal.SIGUSR1):
    kill(pid, number)


def function(name, body="place[0] = bytes(size)"):
    """A function that nothing in the table knows of yet."""
    names = {"place": place, "size": size}
    exec(compile("def f():\n %s" % body, name, "exec"), names)
    return names.pop("f")


def descend(depth, then):
    return descend(depth - 1, then) if depth else then()


def block():
    place[0] = bytes(size)


def grow():
    place[0] += b"x" * 5000


def release():
    place[0] = None


def small():
    place[0] = object()


def new_part_of_the_map():
    place[0] = bytes(64 << 20)


def huge():
    place[0] = bytes(1 << 33)


def raw_malloc():
    place[0] = raw.PyMem_RawMalloc(300)


def raw_realloc():
    place[0] = raw.PyMem_RawRealloc(place[0], 70000)


def raw_free():
    raw.PyMem_RawFree(place[0])


def track():
    tm._tm._track(7, 0x10000, 1000)


def track_again():
    tm._tm._track(7, 0x10000, 3000)


def untrack():
    tm._tm._untrack(7, 0x10000)


def before_grow():
    place[0] = bytearray(300)


# {change: what goes before it}
CHANGES = {
    "known place": block,
    "new place": None,
    "new place, far down": None,
    "new file of a long name": None,
    "code that goes": None,
    "grow": before_grow,
    "release": block,
    "small": None,
    "new part of the map": None,
    "huge": None,
    "release huge": huge,
    "raw malloc": None,
    "raw realloc": raw_malloc,
    "raw free": raw_malloc,
    "track": None,
    "track again": track,
    "untrack": track,
}


def prepare(change):
    """What happens between the marks."""
    if change == "new place":
        return function("/srv/new.py")
    if change == "new place, far down":
        there = function("/srv/deep.py")
        return lambda: descend(20, there)
    if change == "new file of a long name":
        return function("/srv/%s.py" % ("long" * 300))
    if change == "code that goes":
        place[0] = function("/srv/gone.py", "return bytes(size)")
        place[0]()
        return release
    return {
        "known place": block,
        "release huge": release,
    }.get(change) or globals()[change.replace(" ", "_")]


if __name__ == "__main__":
    import tm

    gc.disable()
    tm.clear_traces()  # what is left is soon said
    keep = [bytes(500 + i) for i in range(300)]
    change = sys.argv[1]
    if CHANGES[change]:
        CHANGES[change]()
    act = prepare(change)
    ctypes.CDLL(None).ptrace(TRACEME, 0, None, None)
    mark()
    act()
    mark()
