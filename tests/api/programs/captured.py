# SPDX-License-Identifier: MIT
"""A snapshot of this very process, whose questions the engine answers from its capture, against the standard library's
classes fed with the same traces one by one."""
import sys
import tracemalloc as stock

import tm

LIMIT = int(sys.argv[1])
HAS_TOTAL = sys.version_info >= (3, 9)


class Thing:
    __slots__ = ("value",)


def alike(n):
    # Recursion deeper than any limit: many stacks of tm's table have the same newest frames.
    return [Thing(), alike(n - 1)] if n else [Thing()]


def left(n):
    return (right(n - 1), Thing()) if n else Thing()


def right(n):
    return (left(n - 1), Thing()) if n else Thing()


def generated(n):
    for i in range(n):
        yield Thing(), alike(i)


def exec_many(count):
    names = {"Thing": Thing}
    made = []
    for i in range(count):
        # Lone surrogates and characters of every width in file names.
        code = compile("def f%d():\n  return Thing()\nx = f%d()" % (i, i), ["\udc80%d", "\u4e2d%d", "\U0001f600%d", "p%d"][i % 4] % i, "exec")
        exec(code, names)
        made.append(names["x"])
    return made


def same(ours, theirs):
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert a == b and str(a) == str(b) and repr(a) == repr(b), (a, b)


def check(snapshot, old):
    theirs = stock.Snapshot([tuple(trace) for trace in snapshot.traces._traces], snapshot.traceback_limit)
    their_old = stock.Snapshot([tuple(trace) for trace in old.traces._traces], old.traceback_limit)
    for key in ("lineno", "filename", "traceback"):
        for cumulative in (False, True)[: 1 + (key != "traceback")]:
            same(snapshot.statistics(key, cumulative), theirs.statistics(key, cumulative))
            same(snapshot.compare_to(old, key, cumulative), theirs.compare_to(their_old, key, cumulative))
            same(old.compare_to(snapshot, key, cumulative), their_old.compare_to(theirs, key, cumulative))
    for arguments in (
        [(True, __file__)],
        [(False, __file__)],
        [(True, __file__, 20, True)],
        [(False, __file__, 20, True), (True, "*")],
        [(True, "\udc80*"), (True, "\u4e2d*"), (False, "*1*", None, True)],
        [],
    ):
        ours = snapshot.filter_traces([tm.Filter(*one) for one in arguments])
        wanted = theirs.filter_traces([stock.Filter(*one) for one in arguments])
        assert ours.traces == wanted.traces and wanted.traces == ours.traces
        same(ours.statistics("traceback"), wanted.statistics("traceback"))
        same(ours.filter_traces([tm.DomainFilter(True, 7)]).statistics("lineno"),
             wanted.filter_traces([stock.DomainFilter(True, 7)]).statistics("lineno"))


def main():
    tm.start(LIMIT)
    keep = [alike(60)]
    for number in range(5):
        tm._tm._track(7, number, 1000 + number)
    first = tm.take_snapshot()
    assert first.traceback_limit == LIMIT
    keep += [left(50), right(31), list(generated(12)), exec_many(60)]
    keep[0] = None
    second = tm.take_snapshot()
    check(second, first)
    # A table that was started with another limit in between.
    tm.stop()
    tm.start(LIMIT + 2)
    keep.append(alike(20))
    third = tm.take_snapshot()
    check(third, second)

    # A later version's classes may have other attributes: then they are called.
    sys.modules["tm._engine"].setup(tm._tm.frame, tm.Traceback, tm.Statistic, tm.StatisticDiff, True)
    check(third, second)

    # The sequence of traces behaves as a list does.
    traces = third.traces
    assert len(traces) == len(list(traces)) and traces[-1] == traces[len(traces) - 1]
    assert traces[1:4] == tuple(list(traces)[1:4]) and traces[::-2] == tuple(list(traces)[::-2])
    assert traces[0] in traces and isinstance(traces[0], tm.Trace)
    for wrong in (len(traces), -len(traces) - 1):
        try:
            traces[wrong]
        except IndexError:
            pass
        else:
            raise AssertionError(wrong)

    # Names, and how deep the stack really was.
    deep = [trace for trace in third.traces if trace.traceback[-1].name == "alike"]
    assert deep
    if HAS_TOTAL:
        assert max(trace.traceback.total_nframe for trace in deep) >= 21 > LIMIT + 2 or LIMIT > 18
    assert all(len(trace.traceback) <= LIMIT + 2 for trace in traces)
    # Equal tracebacks are one object, also of stacks that differ only below the frames that are kept.
    frames = {}
    for trace in traces:
        assert frames.setdefault(trace._trace[2], trace._trace[2]) is trace._trace[2]

    # Sums.
    live = tm.get_traced_memory()[0]
    total = sum(statistic.size for statistic in tm.take_snapshot().statistics("lineno"))
    assert abs(total - live) < 2000, (total, live)


main()
