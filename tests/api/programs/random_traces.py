# SPDX-License-Identifier: MIT
"""Random traces, filters and questions, put to tm's classes and to the standard library's: same results, order and text.

    random_traces.py SEED ROUNDS
"""
import random
import sys
import tracemalloc as stock

import tm

FILES = ["a.py", "b.py", "a.pyc", "dir/a.py", "<unknown>", "\u00e9.py", "\u4e2d.py", "\U0001f600.py", "\udce9.py", "", "[a].py", "A.PY"]
PATTERNS = ["a.py", "*.py", "*a*", "?.py", "[ab].py", "[!a].py", "a.pyc", "*", "", "<unknown>", "\udce9*", "[", "*.PY", "[[]a].py"]
HAS_TOTAL = sys.version_info >= (3, 9)


def frame(choose):
    return (choose.choice(FILES), choose.randrange(4))


def traces(choose):
    stacks = [tuple(frame(choose) for _ in range(choose.randint(1, 5))) for _ in range(choose.randint(1, 8))]
    made = []
    for _ in range(choose.randrange(30)):
        trace = (choose.randrange(3), choose.choice([0, 1, 10, 1000, 1 << 40]), choose.choice(stacks))
        made.append(trace + ((choose.randint(5, 9),) if HAS_TOTAL else ()))
    return made


def filters(choose):
    def make(module, kind, inclusive, pattern, lineno, all_frames, domain):
        if kind:
            return module.DomainFilter(inclusive, domain)
        return module.Filter(inclusive, pattern, lineno, all_frames, domain if choose_domain else None)

    both = ([], [])
    for _ in range(choose.randrange(4)):
        choose_domain = choose.random() < 0.3
        what = (choose.random() < 0.2, choose.random() < 0.5, choose.choice(PATTERNS), choose.choice([None, 0, 1, 2]),
                choose.random() < 0.5, choose.randrange(3))
        both[0].append(make(tm, *what))
        both[1].append(make(stock, *what))
    return both


def same(ours, theirs):
    assert ours == theirs, (ours, theirs)
    assert repr(ours) == repr(theirs), (ours, theirs)
    assert list(map(str, ours)) == list(map(str, theirs))


def compare(choose):
    old, new = traces(choose), traces(choose)
    limit = choose.randint(1, 5)
    ours, theirs = tm.Snapshot(new, limit), stock.Snapshot(list(new), limit)
    our_old, their_old = tm.Snapshot(old, limit), stock.Snapshot(list(old), limit)
    our_filters, their_filters = filters(choose)
    ours, theirs = ours.filter_traces(our_filters), theirs.filter_traces(their_filters)
    assert ours.traces == theirs.traces and ours.traces._traces == theirs.traces._traces
    same(list(ours.traces), list(theirs.traces))
    for key in ("lineno", "filename", "traceback"):
        for cumulative in (False, True)[: 1 + (key != "traceback")]:
            same(ours.statistics(key, cumulative), theirs.statistics(key, cumulative))
            same(ours.compare_to(our_old, key, cumulative), theirs.compare_to(their_old, key, cumulative))
            same(ours.compare_to(their_old, key, cumulative), theirs.compare_to(our_old, key, cumulative))


def main():
    assert tm.Snapshot([], 1).statistics("lineno") == []
    for number in range(int(sys.argv[2])):
        compare(random.Random("%s-%d" % (sys.argv[1], number)))


main()
