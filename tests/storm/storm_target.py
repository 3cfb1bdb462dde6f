# SPDX-License-Identifier: MIT
"""Threads that allocate, grow, free and hand over blocks as fast as they can, until something kills the process.

    storm_target.py GIL RAW SEED WITNESS [full]

The main thread only allocates, so that what strikes it strikes in the hooks often enough; GIL threads hold the GIL while they
allocate, RAW threads do not (ctypes lets go of it).  WITNESS is a file that outlives the process: for each block that a
thread keeps, in order {being changed, address, size}.  Whatever is not being changed is in the table, or it was lost.
`full`: the table's file may not grow any more.
"""
import ctypes
import mmap
import os
import random
import resource
import sys
import threading

GIL, RAW, SEED, WITNESS = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
FULL = "full" in sys.argv
KEPT = 100  # witnessed blocks of each thread
WORDS = 3

with open(WITNESS, "w+b") as file:
    file.truncate(max(1, KEPT * (GIL + RAW)) * WORDS * 8)
    witness = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")


def change(place):
    witness[place] = 1


def changed(place, address, size):
    witness[place + 1] = address
    witness[place + 2] = size
    witness[place] = 0


raw = ctypes.CDLL(None)
for name, result, arguments in (
    ("PyMem_RawMalloc", ctypes.c_void_p, [ctypes.c_size_t]),
    ("PyMem_RawRealloc", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]),
    ("PyMem_RawFree", None, [ctypes.c_void_p]),
):
    function = getattr(raw, name)
    function.restype, function.argtypes = result, arguments

shared = [None] * 300


def churn(chance, own):
    """Blocks that nobody witnesses: other threads free and grow them, code objects come and go."""
    what = chance.random()
    if what < 0.4:
        shared[chance.randrange(len(shared))] = bytearray(chance.randrange(20000))
    elif what < 0.7:
        thing = shared[chance.randrange(len(shared))]
        if thing is not None:
            thing += bytes(chance.randrange(5000))
    elif what < 0.95:
        own.append([bytearray(10) for i in range(chance.randrange(20))])
    else:
        exec("def f(): return [%r] * %d\nown.append(f())" % (SEED, chance.randrange(100)), {"own": own})
    if len(own) > 300:
        del own[:200]


def under_gil(number):
    chance, kept, own = random.Random("%s/%d" % (SEED, number)), [None] * KEPT, []
    while True:
        at = chance.randrange(KEPT)
        place = (number * KEPT + at) * WORDS
        change(place)
        kept[at] = None
        if chance.randrange(3):
            kept[at] = bytes(chance.randrange(50, 300000 if not chance.randrange(50) else 3000))
            changed(place, id(kept[at]), sys.getsizeof(kept[at]))
        else:
            changed(place, 0, 0)
        churn(chance, own)


def without_gil(number):
    chance, kept = random.Random("%s/%d" % (SEED, number)), [None] * KEPT
    while True:
        at, size = chance.randrange(KEPT), chance.randrange(1, 5000)
        place = (number * KEPT + at) * WORDS
        change(place)
        if kept[at] is not None and not chance.randrange(3):
            raw.PyMem_RawFree(kept[at])
            kept[at], size = None, 0
        elif kept[at] is not None:
            kept[at] = raw.PyMem_RawRealloc(kept[at], size)
        else:
            kept[at] = raw.PyMem_RawMalloc(size)
        changed(place, kept[at] or 0, size)


for thread in range(GIL + RAW):
    threading.Thread(target=under_gil if thread < GIL else without_gil, args=(thread,), daemon=True).start()
if FULL:
    size = os.stat(os.environ["PYTHONTM_FILE"]).st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    far = [bytes(3 << 20) for i in range(30)]  # where the map has no leaf yet
os.write(1, b"ready\n")
while True:
    [bytes(i) for i in range(600)]
