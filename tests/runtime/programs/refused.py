# SPDX-License-Identifier: MIT
"""The kernel refuses memory for the table, and for nothing else: the program goes on, and what is lost is counted."""
import ctypes
import resource
import sys

import table
from tm import _tm

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
PIECE = 100000

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD):
    assert libc.mallopt(option, 1 << 30)
# Memory that malloc keeps, without asking the kernel again, and whose part of the map is not there yet.
pieces = [libc.malloc(PIECE) for _ in range(1500)]
for piece in pieces:
    libc.free(piece)
with open("/proc/self/statm") as file:
    mapped = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (mapped, resource.RLIM_INFINITY))
before = table.state("lost")
kept = []
for i in range(1000):
    kept.append(bytes(PIECE - 200 + i % 100))
namespace = {}
for i in range(200):
    exec("def f%d(x):\n%s return g(x)" % (i, " x += 1\n" * i), {"g": lambda x: bytes(x)}, namespace)
    kept.append(namespace["f%d" % i](50))
lost = table.state("lost") - before
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
del kept, namespace
kept = [bytes(PIECE) for _ in range(10)]
assert all(_tm._get_object_traceback(made) for made in kept)
table.check_totals()
assert sys.getsizeof(kept[0])
print('{"lost": %d}' % lost)
