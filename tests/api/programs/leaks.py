# SPDX-License-Identifier: MIT
"""Answers are given back: asking again and again takes no more memory.

A second table counts: CPython's own tracemalloc sees the objects that tm makes untraced.
"""
import gc
import sys
import tracemalloc as stock

import tm

tm.start(5)


def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096


keep = [[str(i)] for i in range(500)]


class Odd(tm.Filter):
    def _match(self, trace):
        return True


def ask():
    snapshot = tm.take_snapshot()
    filters = [tm.Filter(True, "*"), tm.DomainFilter(False, 9), tm.Filter(False, "x", 3, True, 2)]
    for one in (snapshot, snapshot.filter_traces(filters)):
        listed = tm.Snapshot([tuple(trace) for trace in one.traces._traces], 5)
        for two in (one, listed, listed.filter_traces(filters)):
            for key in ("lineno", "filename", "traceback"):
                two.statistics(key)
                two.compare_to(snapshot, key)
        list(one.traces), one.traces[1:9], one.traces == listed.traces
    snapshot.filter_traces([Odd(True, "a")])
    snapshot.dump("snapshot")
    tm.Snapshot.load("snapshot")
    tm.get_object_traceback(keep[-1]).format()
    tm.get_tracemalloc_memory()
    # Errors on the way.
    for wrong in (lambda: snapshot.statistics("x"), lambda: tm.Snapshot([(0, 1, ())], 1).statistics("filename"),
                  lambda: snapshot.filter_traces([tm.Filter(True, "a"), 7]), lambda: snapshot.traces[1 << 40]):
        try:
            wrong()
        except (ValueError, IndexError, AttributeError, TypeError):
            pass
    tm.Snapshot([(0, 1, ((None, 1),), 1)], 1)._group_by("lineno", False) if sys.version_info >= (3, 9) else None


def growth():
    """Of three more rounds: bytes of objects, of resident memory."""
    gc.collect()
    before, rss = stock.get_traced_memory()[0], resident()
    for _ in range(3):
        ask()
    gc.collect()
    return stock.get_traced_memory()[0] - before, resident() - rss


stock.start(1)
ask()
# mimalloc, which builds without the GIL have, takes and gives back megabytes until it has settled.
most = 3 if getattr(sys, "_is_gil_enabled", lambda: True)() else 12
windows = []
while len(windows) < 3 or (len(windows) < most and min(rss for objects, rss in windows) >= 200000):
    windows.append(growth())
# CPython's own dictionaries grow now and then; a leak shows up every time.
assert min(objects for objects, rss in windows) < 600, windows
assert min(rss for objects, rss in windows) < 200000, windows
