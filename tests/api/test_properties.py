# SPDX-License-Identifier: MIT
"""Properties: whatever the traces and filters are, tm answers as the standard library's classes do.  Other versions get
the same in test_api.py, from a plain random generator."""
import sys
import tracemalloc as stock

import pytest

hypothesis = pytest.importorskip("hypothesis", reason="python3-hypothesis is not installed")
from hypothesis import given, settings, strategies as st  # noqa: E402

import tm  # noqa: E402

NAMES = st.one_of(
    st.sampled_from(["a.py", "b.py", "a.pyc", "dir/a.py", "<unknown>", "", "[a].py"]),
    # Every width of character, and lone surrogates, as undecodable file names have them.
    st.text(st.characters(blacklist_categories=()), max_size=4),
)
FRAMES = st.tuples(NAMES, st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1)))
# Few different ones, so that groups meet and orders tie.
STACKS = st.lists(st.lists(FRAMES, min_size=1, max_size=5).map(tuple), min_size=1, max_size=6)
SIZES = st.one_of(st.sampled_from([0, 1, 512, 10240]), st.integers(0, 2**48))
LIMITS = st.integers(1, 8)


@st.composite
def traces(draw, stacks=STACKS):
    chosen = st.sampled_from(draw(stacks))
    total = (st.integers(1, 65535),) if sys.version_info >= (3, 9) else ()
    return draw(st.lists(st.tuples(st.integers(0, 3), SIZES, chosen, *total), max_size=25))


@st.composite
def pairs_of_filters(draw):
    """The same filters, made of tm's classes and of the standard library's."""
    pattern = st.one_of(NAMES, st.sampled_from(["*", "*.py", "?.py", "[ab].py", "[!a]*", "[", "[[]a].py", "*a*"]))
    by_name = st.tuples(
        st.just("Filter"), st.booleans(), pattern, st.none() | st.integers(0, 3), st.booleans(), st.none() | st.integers(0, 3)
    )
    by_domain = st.tuples(st.just("DomainFilter"), st.booleans(), st.integers(0, 3))
    drawn = draw(st.lists(st.one_of(by_name, by_domain), max_size=4))
    return [[getattr(module, one[0])(*one[1:]) for one in drawn] for module in (tm, stock)]


def same(ours, theirs):
    assert ours == theirs
    assert repr(ours) == repr(theirs)
    assert list(map(str, ours)) == list(map(str, theirs))


QUESTIONS = [("lineno", False), ("filename", False), ("traceback", False), ("lineno", True), ("filename", True)]


@pytest.mark.parametrize("key, cumulative", QUESTIONS)
@settings(max_examples=120, deadline=None)
@given(traces(), LIMITS)
def test_statistics(key, cumulative, made, limit):
    """GIVEN any traces / WHEN they are grouped / THEN groups, sums, order and text are tracemalloc's"""
    same(tm.Snapshot(made, limit).statistics(key, cumulative), stock.Snapshot(made, limit).statistics(key, cumulative))


@pytest.mark.parametrize("key, cumulative", QUESTIONS)
@settings(max_examples=120, deadline=None)
@given(st.data(), STACKS, LIMITS)
def test_comparisons(key, cumulative, data, stacks, limit):
    """GIVEN two snapshots that have tracebacks in common / WHEN they are compared / THEN the result is tracemalloc's"""
    old, new = data.draw(traces(st.just(stacks))), data.draw(traces(st.just(stacks)) | traces())
    same(
        tm.Snapshot(new, limit).compare_to(tm.Snapshot(old, limit), key, cumulative),
        stock.Snapshot(new, limit).compare_to(stock.Snapshot(old, limit), key, cumulative),
    )


@settings(max_examples=300, deadline=None)
@given(traces(), pairs_of_filters(), LIMITS)
def test_filters(made, filters, limit):
    """GIVEN any traces and filters / WHEN they are filtered / THEN the same traces are left, in the same order"""
    ours, theirs = tm.Snapshot(made, limit).filter_traces(filters[0]), stock.Snapshot(made, limit).filter_traces(filters[1])
    assert ours.traces._traces == theirs.traces._traces
    same(list(ours.traces), list(theirs.traces))
    assert ours.traceback_limit == theirs.traceback_limit
    # Filters of the other's classes are taken, too.
    assert tm.Snapshot(made, limit).filter_traces(filters[1]).traces == theirs.traces


@settings(max_examples=60, deadline=None)
@given(made=traces(), limit=LIMITS)
def test_files(tmp_path_factory, made, limit):
    """GIVEN any traces / WHEN one side dumps them and the other loads them / THEN they are the same"""
    path = str(tmp_path_factory.getbasetemp() / "snapshot")
    tm.Snapshot(made, limit).dump(path)
    assert stock.Snapshot.load(path).traces._traces == made
    stock.Snapshot(made, limit).dump(path)
    assert tm.Snapshot.load(path).traces._traces == made


ODD = st.one_of(st.floats(allow_nan=False), st.none(), st.integers(-(2**70), 2**70), st.booleans(), st.text(max_size=2))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(ODD, ODD, st.lists(st.tuples(ODD, ODD), max_size=3).map(tuple), ODD), max_size=4))
def test_odd_traces(made):
    """GIVEN what no tracer ever made / WHEN it is grouped / THEN tm answers or fails as tracemalloc does, and never dies"""
    if sys.version_info < (3, 9):
        made = [trace[:3] for trace in made]

    def outcome(module, key):
        try:
            return repr(module.Snapshot(made, 1).statistics(key))
        except Exception as error:
            return type(error)

    for key in ("lineno", "filename", "traceback"):
        assert outcome(tm, key) == outcome(stock, key)
