# SPDX-License-Identifier: MIT
"""The process that the tests read from outside: it allocates, asks its own tracemalloc, writes the answers down and dies.

Usage: PYTHONTRACEMALLOC=N python oracle.py ANSWERS.json BLOCKS {abort|wait}

"wait" stays alive in select() after a line on standard output, for live readers and for gcore.
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


def text(name):
    """File names as JSON can hold them whatever they contain: hex of UTF-8 with surrogatepass."""
    return name.encode("utf-8", "surrogatepass").hex()


def frames(traceback):
    return None if traceback is None else [[text(f.filename), f.lineno] for f in reversed(list(traceback))]


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

    snapshot = tracemalloc.take_snapshot()
    current, peak = tracemalloc.get_traced_memory()
    lines, files, stacks, domains = {}, {}, {}, {}
    total = [0, 0]
    for trace in snapshot.traces._traces:
        # (domain, size, frames oldest-or-newest first[, total_nframe]); raw tuples: Trace objects for 200k are slow
        domain, size, stack = trace[0], trace[1], trace[2]
        newest = stack[0]
        for table, key in ((lines, newest), (files, newest[0]), (stacks, stack), (domains, domain)):
            entry = table.setdefault(key, [0, 0])
            entry[0] += size
            entry[1] += 1
        total[0] += size
        total[1] += 1
    top_stacks = sorted(stacks.items(), key=lambda item: -item[1][0])[:20]
    answers = {
        "pid": os.getpid(),
        "version": sys.version.split()[0],
        "hexversion": sys.hexversion,
        "nframe": tracemalloc.get_traceback_limit(),
        "traced_memory": current,
        "peak": peak,
        "bytes": total[0],
        "blocks": total[1],
        "lines": [[text(k[0]), k[1], *v] for k, v in lines.items()],
        "files": [[text(k), *v] for k, v in files.items()],
        "stacks": [[[[text(f), n] for f, n in k], *v] for k, v in top_stacks],
        "stack_count": len(stacks),
        "domains": [[k, *v] for k, v in domains.items()],
        "asked": asked,
        "free_threaded": not getattr(sys, "_is_gil_enabled", lambda: True)(),
    }
    del snapshot, lines, files, stacks, top_stacks
    body = json.dumps(answers).encode()
    with open(answers_path, "wb") as out:
        out.write(body)
    # What is traced at the last moment: whatever the counting above left behind is in here, to the byte.
    api = os.open(answers_path + ".last", os.O_WRONLY | os.O_CREAT, 0o600)
    del body, answers, out
    gc.collect()
    last = tracemalloc.get_traced_memory()
    os.write(api, b"%d %d\n" % last)
    if ending == "abort":
        os.abort()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    return keep, inner


main()
