# SPDX-License-Identifier: MIT
"""Pickles for the standard library's tracemalloc, loaded by the version that was traced."""
import json
import pickletools
import subprocess

import corpses

# Runs in the traced version of Python, with nothing of tm.
LOAD = """
import json, sys, tracemalloc
snapshot = tracemalloc.Snapshot.load(sys.argv[1])
own = tracemalloc.Snapshot([], 1)
assert type(snapshot.traces) is type(own.traces)
def stats(group, cumulative=False):
    return [[s.size, s.count, [[f.filename, f.lineno] for f in reversed(s.traceback)]] for s in snapshot.statistics(group, cumulative)]
app = snapshot.filter_traces([tracemalloc.Filter(True, "*/export/program.py")])
foreign = snapshot.filter_traces([tracemalloc.DomainFilter(True, 42)])
print(json.dumps({
    "limit": snapshot.traceback_limit,
    "count": len(snapshot.traces),
    "size": sum(trace.size for trace in snapshot.traces),
    "lineno": stats("lineno"),
    "filename": stats("filename"),
    "traceback": stats("traceback"),
    "cumulative": stats("lineno", True),
    "app": sum(trace.size for trace in app.traces),
    "foreign": [[trace.domain, trace.size] for trace in foreign.traces],
    "deepest": max(trace.traceback.total_nframe or 0 for trace in snapshot.traces) if hasattr(snapshot.traces[0].traceback, "total_nframe") else None,
    "gone": len(snapshot.compare_to(snapshot, "lineno")) and max(d.size_diff for d in snapshot.compare_to(snapshot, "lineno")),
}))
"""


def load(python, path):
    done = subprocess.run(
        [python.executable, "-c", LOAD, str(path)], env=corpses.clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def expected(core, *words):
    stats = corpses.cli(core, "top", "--all", "--json", *words).json()["stats"]
    return [
        [stat["size"], stat["count"], [[frame["filename"], frame["lineno"]] for frame in stat["traceback"]]]
        for stat in stats
    ]


def test_every_version_loads_its_own(python, cores, export, tmp_path):
    """GIVEN a core of any version, THEN that version's tracemalloc makes of the pickle what tm makes of the core."""
    core = cores(python)
    path = tmp_path / "exported"
    export(core, "tracemalloc")
    found = load(python, path)
    total = corpses.cli(core, "info", "--json").json()["total"]
    assert (found["limit"], found["count"], found["size"]) == (25, total["count"], total["size"])
    assert found["lineno"] == expected(core, "--by", "lineno")
    assert found["filename"] == expected(core, "--by", "filename")
    assert found["traceback"] == expected(core, "--by", "traceback")
    assert found["cumulative"] == expected(core, "--by", "lineno", "--cumulative")
    assert 0 < found["app"] < found["size"]
    assert found["foreign"] == [[42, 5 << 32]]
    assert found["gone"] == 0
    if python.info >= (3, 9):
        assert found["deepest"] > 40, "frames beyond the limit are counted"


def test_filters(newest, core, export, tmp_path):
    export(core, "tracemalloc", "--include", "*/export/program.py", "--exclude-domain", "42")
    found = load(newest, tmp_path / "exported")
    assert found["size"] == found["app"] and found["foreign"] == []


def test_only_tracemalloc_is_named(core, export):
    """A pickle can run anything when it is loaded: this one only makes two objects of tracemalloc's."""
    operations = list(pickletools.genops(export(core, "tracemalloc")))
    assert [value for code, value, _ in operations if code.name in ("GLOBAL", "STACK_GLOBAL")] == [
        "tracemalloc Snapshot",
        "tracemalloc _Traces",
    ]
    assert not {code.name for code, _, _ in operations} & {"REDUCE", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID"}


def test_snapshot_without_blocks(core, tmp_path):
    """GIVEN a snapshot file with totals only, THEN it says why there can be no traces, and leaves nothing behind."""
    assert corpses.cli(core, "dump", tmp_path / "a.tm").status == 0
    answer = corpses.cli(tmp_path / "a.tm", "export", "--format", "tracemalloc", "-o", tmp_path / "a.pickle")
    assert answer.status == 2 and "no single blocks" in answer.err, answer
    assert [path.name for path in tmp_path.iterdir()] == ["a.tm"]
