# SPDX-License-Identifier: MIT
"""get_tracemalloc_memory() is what the kernel sees: prints [moment, tm's number, smaps' number, tm's again] several times.

Reading smaps in Python allocates, so that the table grows a little between the two.
"""
import json

import tm


def kernel():
    """Resident bytes of the mappings that the table lives in: anonymous, MAP_NORESERVE, no huge pages."""
    resident = kilobytes = 0
    anonymous = False
    for line in open("/proc/self/smaps"):
        words = line.split()
        if "-" in words[0] and not line.startswith("VmFlags"):
            anonymous = len(words) == 5
        elif words[0] == "Rss:":
            kilobytes = int(words[1])
        elif words[0] == "VmFlags:" and anonymous and "nr" in words and "nh" in words:
            resident += kilobytes * 1024
    return resident


def measure(moment):
    report.append((moment, tm.get_tracemalloc_memory(), kernel(), tm.get_tracemalloc_memory()))


def build(count):
    return [[str(i), (i, i)] for i in range(count)]


report = []
tm.start(25)
kernel()  # what asking takes is there the second time
measure("started")
keep = build(200000)
measure("full")
snapshot = tm.take_snapshot()
snapshot.statistics("traceback")
measure("after a snapshot")
del keep
measure("freed")
keep = build(100000)
measure("again")
tm.clear_traces()
measure("cleared")
tm.stop()
measure("stopped")
print(json.dumps(report))
