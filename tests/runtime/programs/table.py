# SPDX-License-Identifier: MIT
"""What tm's table says of itself, read in its own process at the places that runtime/layout.h names."""
import ctypes
import gc

import tm
from tm import _tm

_root = ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(_tm.__file__), "tm_root"))
CHUNK = 64
COUNT_STEP = 1000003
STATE = {"lost": (144, 8), "table_bytes": (160, 8), "leaf_count": (168, 4), "stacks": (16 + 8, 8),
         "locations": (48 + 8, 8), "strings": (80 + 8, 8), "tracing": (0, 4)}


def _integer(address, size):
    return int.from_bytes(ctypes.string_at(address, size), "little")


def root_pid():
    return _integer(_root + 60, 4)


def state(name):
    offset, size = STATE[name]
    value = _integer(_integer(_root + 32, 8) + CHUNK + offset, size)
    if name == "lost":
        assert value % COUNT_STEP == 0, value
        value //= COUNT_STEP
    return value


def shards():
    """Live bytes of each shard of the totals."""
    state = _integer(_root + 32, 8) + CHUNK
    count = _integer(state + 172, 4)
    return [_integer(state + 256 + 64 * shard + 32, 8) for shard in range(count)]


def size_at(address):
    """Size of the block that begins at an address (below 4 GiB); None: the map has none there."""
    directory = _integer(_integer(_root + 32, 8) + CHUNK + 8, 8)
    for shift in 35, 22:
        directory = directory and _integer(directory + CHUNK + 8 * (address >> shift & 8191), 8)
    slot = directory and _integer(directory + 4096 + 8 * (address >> 4 & 0x3FFFF), 8)
    return slot & 0xFFFFFFFF if slot >> 32 & 0x3FFFFFFF else None


def traces():
    """All live blocks: (domain, size, frames with the newest first, total_nframe).  None of the answer is among them."""
    return [(trace[0], trace[1], tuple((frame[0], frame[1], frame.name) for frame in trace[2]), trace[3] if len(trace) > 3 else 0)
            for trace in tm._get_traces()]


def check_totals():
    """Live bytes as counted along the way, and as found by a full scan: they must be equal.  Nothing may be allocated in
    between, so the scan's list is summed afterwards, and what the calls themselves allocate is taken out."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            counted = _tm.get_traced_memory()[0]
            snapshot = tm.take_snapshot()
            again = _tm.get_traced_memory()[0]
            scanned = sum(trace.size for trace in snapshot.traces)
            low, high = min(counted, again), max(counted, again)
            # The result of get_traced_memory() itself: a tuple and two ints.
            if low - 400 <= scanned <= high + 400:
                return
    finally:
        gc.enable()
    raise AssertionError("totals say %d, then %d; a full scan says %d" % (counted, again, scanned))
