# SPDX-License-Identifier: MIT
"""Random traces, asked of the command line and of the standard library's own classes: the same groups, the same numbers, in
the same order, in the same words."""

import fnmatch
import json
import subprocess
import tracemalloc

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as some

import snapshot_file

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))

NAMES = some.sampled_from(
    ["/a/b.py", "/a/b.pyc", "/a/c.py", "b.py", "<unknown>", "/A/B.py", "/a/[x].py", "/é/\udcff.py", "/a/b.py.pyc", "x*y"]
)
FRAMES = some.tuples(NAMES, some.integers(0, 3))
TRACEBACKS = some.lists(FRAMES, min_size=1, max_size=6).map(tuple)
TRACES = some.lists(
    some.builds(
        lambda domain, size, frames: (domain, size, frames, len(frames)),
        some.sampled_from([0, 0, 0, 1, 7]),
        some.sampled_from([0, 1, 16, 17, 100, 512, 5000, 3 << 20]),
        TRACEBACKS,
    ),
    max_size=25,
)
LIMITS = some.integers(1, 7)
GROUPS = some.sampled_from([("lineno", False), ("filename", False), ("traceback", False), ("lineno", True), ("filename", True)])
PATTERNS = some.one_of(
    some.sampled_from(["*.py", "*b.py", "/a/*", "*.pyc", "?.py", "/a/[b-c].py", "/[!A]/*", "*", "b.pyc", "/a/[[]x].py", "nothing"]),
    some.text("ab*?[]!-^\\.é/", max_size=8),
)
FILTERS = some.lists(
    some.one_of(
        some.tuples(some.sampled_from(["include", "exclude"]), PATTERNS, some.one_of(some.none(), some.integers(0, 3))),
        some.tuples(some.sampled_from(["domain", "exclude-domain"]), some.sampled_from([0, 1, 7, 8]), some.none()),
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("random")


def ask(tm, *words):
    done = subprocess.run([tm, *map(str, words)], capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout.decode()


def snapshot_of(traces, limit):
    """Tracebacks are the newest `limit` frames, as tracemalloc itself cuts them."""
    return tracemalloc.Snapshot([(domain, size, frames[:limit], depth) for domain, size, frames, depth in traces], limit)


def group_words(group):
    return ["--by", group[0]] + (["--cumulative"] if group[1] else [])


def frames_of(traceback):
    """Newest first, as the answer in JSON has them."""
    return [(frame.filename, frame.lineno) for frame in reversed(traceback)]


def frames_in(entry):
    return [(frame["filename"], frame["lineno"]) for frame in entry["traceback"]]


def filter_words(filters, all_frames):
    words = ["--all-frames"] if all_frames else []
    for kind, what, line in filters:
        words.append("--%s=%s%s" % (kind, what, "" if line is None else ":%d" % line))
    return words


def filters_of(filters, all_frames):
    made = []
    for kind, what, line in filters:
        if kind.endswith("domain"):
            made.append(tracemalloc.DomainFilter(kind == "domain", what))
        else:
            made.append(tracemalloc.Filter(kind == "include", what, line, all_frames))
    return made


def plain(text):
    """The lines of statistics alone."""
    return [line for line in text.split("\n\n", 1)[1].splitlines() if line != "no live blocks"]


@MANY
@given(TRACES, LIMITS, GROUPS)
def test_statistics(tm, folder, traces, limit, group):
    expected = snapshot_of(traces, limit).statistics(*group)
    path = snapshot_file.write(folder / "new.tm", traces, limit)
    answer = json.loads(ask(tm, "top", path, "--all", "--json", *group_words(group)))
    assert [(entry["size"], entry["count"], frames_in(entry)) for entry in answer["stats"]] == [
        (item.size, item.count, frames_of(item.traceback)) for item in expected
    ]
    assert answer["total"] == {"size": sum(t[1] for t in traces), "count": len(traces), "peak": sum(t[1] for t in traces), "lost": 0}


@FEW
@given(TRACES, some.sampled_from(["lineno", "filename"]))
def test_words(tm, folder, traces, group):
    assume(not any("\udcff" in name for _, _, frames, _ in traces for name, _ in frames))  # escapes are ours alone
    expected = snapshot_of(traces, 1).statistics(group)
    path = snapshot_file.write(folder / "new.tm", traces, 1)
    assert plain(ask(tm, "top", path, "--all", "--no-source", "--by", group)) == [str(item) for item in expected]


@MANY
@given(TRACES, LIMITS, GROUPS, FILTERS, some.booleans())
def test_filters(tm, folder, traces, limit, group, filters, all_frames):
    chosen = snapshot_of(traces, limit).filter_traces(filters_of(filters, all_frames))
    path = snapshot_file.write(folder / "new.tm", traces, limit, blocks=True)
    words = filter_words(filters, all_frames)
    answer = json.loads(ask(tm, "top", path, "--all", "--json", *group_words(group), *words))
    assert [(entry["size"], entry["count"], frames_in(entry)) for entry in answer["stats"]] == [
        (item.size, item.count, frames_of(item.traceback)) for item in chosen.statistics(*group)
    ]
    if filters:
        assert answer["selected"] == {"size": sum(t.size for t in chosen.traces), "count": len(chosen.traces)}
    blocks = json.loads(ask(tm, "blocks", path, "--all", "--json", *words))["blocks"]
    assert sorted((block["domain"], block["size"], frames_in(block)) for block in blocks) == sorted(
        (trace.domain, trace.size, frames_of(trace.traceback)) for trace in chosen.traces
    )


@FEW
@given(TRACES, LIMITS, GROUPS, FILTERS)
def test_what_is_dumped_of_a_selection(tm, folder, traces, limit, group, filters):
    """GIVEN filters, WHEN a snapshot is made with them, THEN it answers as the whole does under them, and says no other names."""
    whole = snapshot_file.write(folder / "whole.tm", traces, limit, blocks=True)
    words = filter_words(filters, False)
    ask(tm, "dump", "--force", "--blocks", whole, folder / "part.tm", *words)
    under, alone = (
        json.loads(ask(tm, "top", "--all", "--json", *words, *group_words(group)))
        for words in ([whole] + words, [folder / "part.tm"])
    )
    assert under["stats"] == alone["stats"]
    assert json.loads(ask(tm, "check", "--json", folder / "part.tm"))["different_stacks"] == 0


@MANY
@given(TRACES, TRACES, LIMITS, GROUPS, FILTERS)
def test_differences(tm, folder, old, new, limit, group, filters):
    made = filters_of(filters, False)
    before, after = (snapshot_of(traces, limit).filter_traces(made) for traces in (old, new))
    expected = after.compare_to(before, *group)
    paths = [snapshot_file.write(folder / name, traces, limit) for name, traces in (("old.tm", old), ("new.tm", new))]
    answer = json.loads(ask(tm, "diff", *paths, "--all", "--json", *group_words(group), *filter_words(filters, False)))
    assert [
        (entry["size"], entry["size_diff"], entry["count"], entry["count_diff"], frames_in(entry)) for entry in answer["stats"]
    ] == [(item.size, item.size_diff, item.count, item.count_diff, frames_of(item.traceback)) for item in expected]


@FEW
@given(TRACES, TRACES)
def test_words_of_differences(tm, folder, old, new):
    assume(not any("\udcff" in name for traces in (old, new) for _, _, frames, _ in traces for name, _ in frames))
    expected = snapshot_of(new, 1).compare_to(snapshot_of(old, 1), "lineno")
    paths = [snapshot_file.write(folder / name, traces, 1) for name, traces in (("old.tm", old), ("new.tm", new))]
    assert plain(ask(tm, "diff", *paths, "--all", "--no-source")) == [str(item) for item in expected]


@FEW
@given(TRACES, LIMITS)
def test_tree(tm, folder, traces, limit):
    """Each node's total is what the tracebacks hold that begin with the frames down to it."""
    path = snapshot_file.write(folder / "new.tm", traces, limit)
    nodes = json.loads(ask(tm, "tree", path, "--json", "--min-percent", "0"))["nodes"]
    at, seen = [], {}
    for node in nodes:
        if node["depth"]:
            at = at[: node["depth"] - 1] + [(node["frame"]["filename"], node["frame"]["lineno"])]
        assert tuple(at) not in seen
        seen[tuple(at)] = node["size"], node["count"], node["own_size"], node["own_count"]
    expected = {(): [0, 0, 0, 0]}
    for _domain, size, frames, _depth in traces:
        way = tuple(reversed(frames[:limit]))
        for depth in range(len(way) + 1):
            sums = expected.setdefault(way[:depth], [0, 0, 0, 0])
            own = depth == len(way)
            for i, more in enumerate((size, 1, size * own, own)):
                sums[i] += more
    # Nothing of no bytes and no blocks is shown; and everything else is.
    assert seen == {way: tuple(sums) for way, sums in expected.items()}


@FEW
@given(TRACES)
def test_sizes(tm, folder, traces):
    path = snapshot_file.write(folder / "new.tm", traces, 1, blocks=True)
    expected = {}
    for _domain, size, frames, _depth in traces:
        limit = 0 if not size else max(16, 1 << (size - 1).bit_length())
        for group in ("all", frames[0]):
            sums = expected.setdefault(group, {}).setdefault(limit, [0, 0])
            sums[0] += size
            sums[1] += 1

    def classes(entry):
        return {row["up_to"]: [row["size"], row["count"]] for row in entry["classes"]}

    together = json.loads(ask(tm, "sizes", path, "--json"))["stats"]
    assert classes(together[0]) == expected.pop("all", {})
    per_line = json.loads(ask(tm, "sizes", path, "--json", "--by", "lineno", "--all"))["stats"]
    assert {frames_in(entry)[0]: classes(entry) for entry in per_line} == expected


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(some.lists(some.text("ab-]![^*?\\z\n.é", max_size=7), min_size=1, max_size=40), some.lists(some.text("ab-]![^\\z\n.é", max_size=4), min_size=1, max_size=40))
def test_patterns(tm, folder, patterns, names):
    """fnmatchcase(), whatever stands between brackets."""
    traces = [(0, 1, ((name, 1),), 1) for name in set(names)]
    path = snapshot_file.write(folder / "new.tm", traces, 1)
    for pattern in patterns:
        answer = json.loads(ask(tm, "top", path, "--all", "--json", "--include=" + pattern))
        assert {frames_in(entry)[0][0] for entry in answer["stats"]} == {
            name for name in set(names) if fnmatch.fnmatchcase(name, pattern)
        }, pattern
