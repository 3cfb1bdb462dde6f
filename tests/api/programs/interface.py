# SPDX-License-Identifier: MIT
"""Names, defaults, errors and texts: as those of this version's tracemalloc."""
import inspect
import sys
import tracemalloc as stock

import tm


def error_of(function, *args):
    try:
        function(*args)
    except BaseException as error:
        return type(error), str(error)
    return None


def same_error(name, *args):
    ours, theirs = error_of(getattr(tm, name), *args), error_of(getattr(stock, name), *args)
    assert ours == theirs and ours, (name, args, ours, theirs)


public = {name for name in dir(stock) if not name.startswith("_")}
missing = {name for name in public if not hasattr(tm, name)}
assert not missing, missing
assert {"reset_peak", "install", "Frame", "Snapshot"} <= set(dir(tm))
everything = {}
exec("from tm import *", everything)
assert set(tm.__all__) <= set(everything)
assert error_of(getattr, tm, "nothing_of_that_kind")[0] is AttributeError

# Not tracing.
assert not tm.is_tracing() and not stock.is_tracing()
assert tm.get_traced_memory() == stock.get_traced_memory() == (0, 0)
assert tm.get_traceback_limit() == stock.get_traceback_limit() == 1
assert tm.get_tracemalloc_memory() == 0
assert tm.get_object_traceback(object()) is None
assert tm._get_traces() == []
for name in ("stop", "clear_traces", "reset_peak"):
    assert getattr(tm, name)() is None
same_error("take_snapshot")
for args in ((0,), (-1,), (65536,), (1 << 30,), (1 << 70,), ("1",), (None,), (1, 2)):
    ours, theirs = error_of(tm.start, *args), error_of(stock.start, *args)
    assert bool(ours) == bool(theirs), (args, ours, theirs)  # 3.8 takes more than 65535 frames
    assert not ours or ours[0] is theirs[0], (args, ours, theirs)
    if ours and ours[0] is ValueError:
        assert ours == theirs, (ours, theirs)
    tm.stop()
    stock.stop()
assert not tm.is_tracing()

tm.start()
assert tm.is_tracing() and tm.get_traceback_limit() == 1
assert error_of(tm.start, 0)[0] is ValueError
tm.start(9)
assert tm.get_traceback_limit() == 1, "a second start() does nothing"
tm.stop()
tm.start(65535)
assert tm.get_traceback_limit() == 65535
tm.stop()
tm.start(3)


# Classes.
def both(name, *args):
    return getattr(tm, name)(*args), getattr(stock, name)(*args)


frames = (("b.py", 7), ("a.py", 3))
for ours, theirs in (
    both("Frame", ("a.py", 3)),
    both("Traceback", frames),
    both("Trace", (0, 5, frames) + ((9,) if sys.version_info >= (3, 9) else ())),
    both("Statistic", tm.Traceback(frames), 2048, 3),
    both("StatisticDiff", tm.Traceback(frames), 2048, -77, 3, -1),
):
    assert ours == theirs and theirs == ours and hash(ours) == hash(theirs)
    assert str(ours) == str(theirs) and repr(ours) == repr(theirs)
ours, theirs = both("Traceback", frames)
assert list(ours) == list(theirs) and ours[0] == theirs[0] and ours[-1].lineno == 7 and ours[:1] == theirs[:1]
assert ours.format() == theirs.format() == ['  File "a.py", line 3', '  File "b.py", line 7']
for arguments in ((1,), (-1,), (None, True), (1, True), (0,)):
    assert ours.format(*arguments) == theirs.format(*arguments)
assert ours < tm.Traceback((("z.py", 1), ("a.py", 3)))
assert tm.Frame(("a", 1)).name is None

for name in ("Filter", "DomainFilter", "Statistic", "StatisticDiff", "BaseFilter"):
    assert inspect.signature(getattr(tm, name)) == inspect.signature(getattr(stock, name))
for name in ("statistics", "compare_to", "filter_traces", "dump", "load"):
    assert inspect.signature(getattr(tm.Snapshot, name)) == inspect.signature(getattr(stock.Snapshot, name)), name
    assert getattr(tm.Snapshot, name).__doc__

snapshots = tm.take_snapshot(), stock.Snapshot([], 1)
for args in (("nonsense",), ("traceback", True), (None,), ([],)):
    ours, theirs = (error_of(snapshot.statistics, *args) for snapshot in snapshots)
    assert ours == theirs and ours, (ours, theirs)
    ours, theirs = (error_of(snapshot.compare_to, snapshot, *args) for snapshot in snapshots)
    assert ours == theirs and ours, (ours, theirs)
ours, theirs = (error_of(snapshot.filter_traces, 7) for snapshot in snapshots)
assert ours == theirs and ours[0] is TypeError, (ours, theirs)
assert snapshots[0].filter_traces([]) is not snapshots[0]
assert snapshots[0].filter_traces(iter([tm.Filter(True, "nowhere")])).statistics("lineno") == []


# What only the filter itself can know.
class Odd(tm.Filter):
    def _match(self, trace):
        return trace[1] == 11


odd = tm.Snapshot([(0, 11, (("a", 1),), 1)[: 4 if sys.version_info >= (3, 9) else 3]] * 2 + [(0, 5, (("a", 1),), 1)[: 4 if sys.version_info >= (3, 9) else 3]], 1)
assert len(odd.filter_traces([Odd(True, "b")]).traces) == 2
assert len(odd.filter_traces([tm.Filter(True, "a", lineno=1.0)]).traces) == 3
assert len(odd.filter_traces([tm.DomainFilter(False, None)]).traces) == 3

# What is too odd for the engine is still answered, by tracemalloc's own code.
strange = [(0, 1.5, (("a", 1),), 1), (0, 1 << 70, (("b", None),), 1), (-1, 2, (("a", 1),), 1)]
strange = strange if sys.version_info >= (3, 9) else [trace[:3] for trace in strange]
ours, theirs = tm.Snapshot(strange, 1), stock.Snapshot(strange, 1)
for key in ("filename", "lineno", "traceback"):
    assert repr(ours.statistics(key)) == repr(theirs.statistics(key))
    assert type(ours.statistics(key)[0].traceback) is tm.Traceback
    assert repr(ours.compare_to(theirs, key)) == repr(theirs.compare_to(ours, key))


# Names.
class Maker:
    def make(self):
        return bytearray(1000)


made = tm.get_object_traceback(Maker().make())
assert made[-1].name == ("Maker.make" if sys.version_info >= (3, 11) else "make") and made[-2].name == "<module>"
assert tm.take_snapshot().statistics("filename")[0].traceback[0].name is None
