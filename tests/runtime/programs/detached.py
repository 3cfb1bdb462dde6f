# SPDX-License-Identifier: MIT
"""Raw blocks of threads that let go of the interpreter before they allocate: each names its frames, however new its code."""
import ctypes
import sys
import sysconfig
import threading

import table

THREADS = 12
library = ctypes.CDLL(None)  # lets the GIL go, and in free-threaded builds the thread state
malloc, free = library.PyMem_RawMalloc, library.PyMem_RawFree
malloc.restype = ctypes.c_void_p
malloc.argtypes = [ctypes.c_size_t]
free.argtypes = [ctypes.c_void_p]

# Shared by all threads: from 3.14 on, free-threaded builds copy its bytecode for each of them.
shared = {}
exec(compile("def common(malloc, size):\n\n    return malloc(size)\n", "<common>", "exec"), shared)


def own_code(number, round):
    namespace = {"malloc": malloc}
    exec(compile("%sdef own(size):\n    return malloc(size)\n" % ("\n" * number), "<own %d>" % round, "exec"), namespace)
    return namespace["own"]


def work(number):
    start.wait()
    for round in range(ROUNDS):
        size = 1000000 + (round * THREADS + number) * 2
        own = own_code(number, round)
        blocks[size] = (shared["common"](malloc, size), ("<common>", 3, "common"))
        blocks[size + 1] = (own(size + 1), ("<own %d>" % round, number + 2, "own"))


ROUNDS = int(sys.argv[1])
blocks = {}
start = threading.Barrier(THREADS)
threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
found = {size: frames for domain, size, frames, depth in table.traces() if size >= 1000000}
wrong = [(size, found.get(size, ())[:2], frame) for size, (block, frame) in blocks.items()
         if found.get(size, ())[:1] != (frame,) or found[size][1][2] != "work"]
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    assert sum(live != 0 for live in table.shards()) > THREADS // 2, "threads do not count each for itself"
assert len(blocks) == 2 * THREADS * ROUNDS and not wrong, (len(wrong), wrong[:3])
for block, frame in blocks.values():
    free(block)
table.check_totals()
print('{"blocks": %d}' % len(blocks))
