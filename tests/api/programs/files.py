# SPDX-License-Identifier: MIT
"""Snapshot files: tm's are read by tracemalloc, and tracemalloc's by tm; also when tm sits in tracemalloc's place."""
import copy
import pickle
import pickletools
import subprocess
import sys
import tracemalloc as stock

import tm


class Thing:
    pass


def many(n):
    return [Thing() for _ in range(100)] if n == 0 else many(n - 1)


tm.start(10)
stock.start(10)
keep = [many(n) for n in range(15)]
ours, theirs = tm.take_snapshot(), stock.take_snapshot()
stock.stop()
ours.note = theirs.note = {"one": [1, 2], "ours": "é"}

ours.dump("ours")
theirs.dump("theirs")
pickletools.dis(open("ours", "rb").read(), out=open("/dev/null", "w"))  # raises if it is malformed


def equal(left, right):
    assert left.traces == right.traces and right.traces == left.traces
    assert left.traceback_limit == right.traceback_limit and left.note == right.note
    assert left.statistics("traceback") == right.statistics("traceback")
    assert repr(left.compare_to(right, "lineno", True)) == repr(right.compare_to(left, "lineno", True))


for name, original in (("ours", ours), ("theirs", theirs)):
    loaded = tm.Snapshot.load(name)
    assert type(loaded) is tm.Snapshot and type(loaded.traces[0]) is tm.Trace
    equal(loaded, original)
    plain = stock.Snapshot.load(name)
    assert type(plain) is stock.Snapshot and type(plain.traces[0]) is stock.Trace
    assert set(map(type, plain.traces._traces[0][2])) == {tuple}
    equal(plain, original)

# Again, loaded and filtered.
tm.Snapshot.load("theirs").filter_traces([tm.Filter(True, __file__)]).dump("again")
equal_to = theirs.filter_traces([stock.Filter(True, __file__)])
assert stock.Snapshot.load("again").traces == equal_to.traces

# In a process where tm is installed, and in one that never heard of it.
script = """
import sys
if sys.argv[1] == "tm":
    import tm
    tm.install()
import tracemalloc
snapshot = tracemalloc.Snapshot.load("ours")
assert type(snapshot).__module__ == ("tm._classes" if sys.argv[1] == "tm" else "tracemalloc"), type(snapshot)
snapshot.dump("copy-" + sys.argv[1])
"""
for who in ("tm", "stock"):
    subprocess.check_call([sys.executable, "-c", script, who])
    equal(tm.Snapshot.load("copy-" + who), ours)

# pickle and copy keep the names, too.
for twin in (pickle.loads(pickle.dumps(ours)), copy.copy(ours), copy.deepcopy(ours)):
    equal(twin, ours)
    assert type(twin) is tm.Snapshot
    names = {trace.traceback[-1].name for trace in twin.traces}
    assert "many" in names, names
traceback = tm.get_object_traceback(keep[0][0])
again = pickle.loads(pickle.dumps(traceback))
assert again == traceback and again[-1].name == traceback[-1].name is not None

for wrong, error in (("nowhere", FileNotFoundError), (__file__, Exception)):
    try:
        tm.Snapshot.load(wrong)
    except error:
        pass
    else:
        raise AssertionError(wrong)
