# SPDX-License-Identifier: MIT
"""The process that the tests read from outside: it allocates, asks its own tracemalloc, writes the answers down and dies.

Usage: PYTHONTRACEMALLOC=N python oracle.py ANSWERS.json BLOCKS {abort|wait}

"wait" stays alive after a line on standard output, for live readers and for gcore.
Runs on CPython 3.8 and later, standard library only.
"""
import ctypes
import gc
import json
import os
import sys
import tracemalloc

DOMAIN = 389047
FOREIGN_BLOCKS = 1000
FOREIGN_BASE = 0x4000_0000_0000  # no mapping lies there: a foreign "address" is any number
FOREIGN_SIZE = 100

# One name for each way in which CPython stores a str: ASCII, UCS1, UCS2, UCS4, and an undecodable byte.
NAMES = [
    "ascii_file.py",
    "déjà.py",
    "日本語.py",
    "déjà_日本_😀.py",
    os.fsdecode(b"bad\xff\xfe.py"),
    "x" * 3000 + ".py",
]

SOURCE = """
def make(count):
    return [bytes(200 + (i & 7)) for i in range(count)]

def deep(level, count):
    return deep(level - 1, count) if level else make(count)
"""


class Plain:
    def __init__(self):
        self.payload = None


class Slotted:
    __slots__ = ("payload",)


def allocate(blocks):
    """About `blocks` live blocks, spread over files, lines and stacks."""
    keep = []
    share = blocks // (2 * len(NAMES))
    for name in NAMES:
        namespace = {}
        exec(compile(SOURCE, name, "exec"), namespace)
        keep.append(namespace["make"](share))
        keep.append(namespace["deep"](30, share // 2))
    rest = blocks - blocks * 3 // 4
    keep.append([(i, str(i) + "suffix") for i in range(1000, 1000 + rest // 4)])
    keep.append([{} for _ in range(rest // 8)])
    keep.append([Plain() for _ in range(rest // 8)])
    return keep


def track():
    api = ctypes.pythonapi.PyTraceMalloc_Track
    api.argtypes = [ctypes.c_uint, ctypes.c_size_t, ctypes.c_size_t]
    for i in range(FOREIGN_BLOCKS):
        if api(DOMAIN, FOREIGN_BASE + i * 4096, FOREIGN_SIZE):
            raise MemoryError


def frames(traceback):
    return None if traceback is None else [[f.filename, f.lineno] for f in reversed(list(traceback))]


def count(snapshot):
    """Sizes and numbers of blocks: by domain, and by traceback."""
    domains, tracebacks = {}, {}
    for trace in snapshot.traces._traces:
        # (domain, size, frames from the newest on, and from 3.9 on total_nframe).  Equal tracebacks are one object.
        for table, key in ((domains, trace[0]), (tracebacks, id(trace[2]))):
            entry = table.get(key)
            if entry is None:
                entry = table[key] = [0, 0, trace[2]]
            entry[0] += trace[1]
            entry[1] += 1
    merged = {}
    for size, blocks, stack in tracebacks.values():
        entry = merged.setdefault(stack, [0, 0])
        entry[0] += size
        entry[1] += blocks
    return {domain: entry[:2] for domain, entry in domains.items()}, merged


def main():
    answers_path, blocks, ending = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    keep = allocate(blocks)
    track()
    # The places that traceback-by-address is asked for: (what, address, frames newest first as the process sees them).
    plain, slotted, dictionary, blob = Plain(), Slotted(), {"k": 1}, bytes(5000)
    big = bytearray(3_000_000)
    objects = [("plain", plain), ("slotted", slotted), ("dict", dictionary), ("bytes", blob), ("bytearray", big)]
    asked = [[what, id(o), frames(tracemalloc.get_object_traceback(o))] for what, o in objects]
    inner = (ctypes.c_char * len(big)).from_buffer(big)
    asked.append(["inside bytearray", ctypes.addressof(inner) + 1_234_567, None])
    gc.collect()
    gc.disable()
    tracemalloc.take_snapshot()  # fills caches of the interpreter, which the real one would change

    # A child counts and writes, so that this process does next to nothing between its snapshot and its death.
    snapshot_line = sys._getframe().f_lineno + 1
    snapshot = tracemalloc.take_snapshot()
    current, peak = tracemalloc.get_traced_memory()
    child = os.fork()
    if child == 0:
        nframe = tracemalloc.get_traceback_limit()
        tracemalloc.stop()  # it makes the rest slow
        domains, stacks = count(snapshot)
        answers = {
            "pid": os.getppid(),
            "version": sys.version.split()[0],
            "nframe": nframe,
            "traced_memory": current,
            "peak": peak,
            "stacks": [[stack, *numbers] for stack, numbers in stacks.items()],
            "domains": [[domain, *numbers] for domain, numbers in domains.items()],
            "snapshot_line": snapshot_line,
            "asked": asked,
        }
        with open(answers_path, "w") as out:
            out.write(json.dumps(answers))
        os._exit(0)
    os.waitpid(child, 0)
    if ending == "abort":
        os.abort()
    os.write(1, b"ready\n")
    os.read(0, 1)
    return keep, inner


main()
