# SPDX-License-Identifier: MIT
"""What bench_reader.py traces: N live blocks, asked for on 2000 lines, 25 frames deep.

    reader_target.py N          allocates them and dies of SIGABRT
    reader_target.py N M        the same with M mappings besides
    reader_target.py N measure  under -X tracemalloc: what the standard library's own snapshot takes, as JSON
"""

import json
import mmap
import os
import sys
import time

LINES = 2000
DEPTH = 22  # calls below the one that allocates


def build(count):
    lines = "".join(
        "def make%d(out, count):\n    out.extend([bytes(size & 63 | 1) for size in range(count)])\n" % i
        for i in range(LINES)
    )
    made = {}
    exec(compile(lines, "/srv/app/made.py", "exec"), made)

    def deeper(function, out, depth):
        if depth:
            deeper(function, out, depth - 1)
        else:
            function(out, count // LINES)

    kept = [[] for _ in range(LINES)]
    for i, out in enumerate(kept):
        deeper(made["make%d" % i], out, DEPTH)
    return kept


def map_more(count):
    """Pages of their own: neighbours with the same permissions would be one mapping."""
    both = mmap.PROT_READ | mmap.PROT_WRITE
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return [mmap.mmap(-1, mmap.PAGESIZE, flags=private, prot=both if i & 1 else mmap.PROT_READ) for i in range(count)]


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def highest():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def measure():
    import tracemalloc

    before = resident()
    began = time.perf_counter()
    snapshot = tracemalloc.take_snapshot()
    taken = time.perf_counter()
    top = snapshot.statistics("lineno")
    done = time.perf_counter()
    return {
        "take_snapshot": taken - began,
        "statistics": done - taken,
        "more_memory": highest() - before,
        "blocks": sum(item.count for item in top),
    }


if __name__ == "__main__":
    kept = build(int(sys.argv[1]))
    if sys.argv[2:] == ["measure"]:
        print(json.dumps(measure()))
        sys.stdout.flush()
        os._exit(0)
    more = map_more(int(sys.argv[2])) if sys.argv[2:] else []
    os.abort()
