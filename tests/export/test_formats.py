# SPDX-License-Identifier: MIT
"""What others' tools read: the same numbers as top has, in formats that are valid."""
import json
import os
import re
import shutil
import subprocess

import pytest

import corpses
import pprof_decoder as pprof

EVIL = "/tmp/</script><!--;\u2028\u202e\n&.py"


def escaped(text):
    """As tm shows names: nothing that could end or reorder a line."""

    def escape(match):
        point = ord(match[0])
        return "\\x%02x" % point if point < 0x100 else "\\u%04x" % point

    return re.sub("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", escape, text)


def name_of(frame):
    place = "%s:%d" % (escaped(frame["filename"]), frame["lineno"])
    return "%s (%s)" % (escaped(frame["name"]), place) if frame["name"] else place


# ---- json ----------------------------------------------------------------------------------------------------------


def test_json_is_top_by_traceback(core, export):
    expected = corpses.cli(core, "top", "--all", "--json", "--by", "traceback")
    assert export(core, "json").decode() == expected.out
    assert corpses.cli(core, "export").out == expected.out, "json is the default, and goes to stdout"


def test_json_of_nothing(core):
    answer = corpses.cli(core, "export", "--include", "/nowhere/*")
    assert answer.status == 0 and answer.json()["stats"] == [], answer


# ---- collapsed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option, field", [([], "size"), (["--count"], "count")])
def test_collapsed(core, top, export, option, field):
    """THEN each line is a traceback of top, outermost frame first, and a number."""
    lines = export(core, "collapsed", *option).decode().split("\n")
    assert lines.pop() == ""
    expected = []
    for stat in top["stats"]:
        frames = [name_of(frame).replace(";", "\\x3b") for frame in reversed(stat["traceback"])]
        expected.append("%s %d" % (";".join(frames), stat[field]))
    assert lines == expected
    assert any("<!--\\x3b\\u2028" in line for line in lines)


# ---- speedscope ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option, unit, field", [([], "bytes", "size"), (["--count"], "none", "count")])
def test_speedscope(core, top, export, option, unit, field):
    """What https://www.speedscope.app/file-format-schema.json demands of a sampled profile, and the numbers of top."""
    file = json.loads(export(core, "speedscope", *option))
    assert file["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert set(file) <= {"$schema", "shared", "profiles", "name", "activeProfileIndex", "exporter"}
    frames = file["shared"]["frames"]
    for frame in frames:
        assert set(frame) <= {"name", "file", "line", "col"} and isinstance(frame["name"], str)
        assert isinstance(frame["line"], int)
    (profile,) = file["profiles"]
    assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
    assert (profile["type"], profile["unit"], profile["startValue"]) == ("sampled", unit, 0)
    assert len(profile["samples"]) == len(profile["weights"])
    assert profile["endValue"] == sum(profile["weights"])
    found = [
        ([(frames[i]["file"], frames[i]["line"]) for i in reversed(sample)], weight)
        for sample, weight in zip(profile["samples"], profile["weights"])
    ]
    expected = [
        ([(frame["filename"], frame["lineno"]) for frame in stat["traceback"]], stat[field]) for stat in top["stats"]
    ]
    assert found == expected
    assert EVIL in {frame["file"] for frame in frames}


# ---- pprof ---------------------------------------------------------------------------------------------------------


def test_pprof(core, top, export):
    profile = pprof.Profile(export(core, "pprof"))
    assert profile.strings[0] == ""
    types = [(profile.string(kind[1]), profile.string(kind[2])) for kind in profile.types]
    assert types == [("inuse_objects", "count"), ("inuse_space", "bytes")]
    assert profile.string(profile.single[14]) == "inuse_space"
    (mapping,) = profile.mappings.values()
    assert re.search("python", os.path.basename(profile.string(mapping[5])))
    assert mapping[2] < mapping[3] and mapping[7] and mapping[8] and mapping[9]
    assert abs(profile.single[9] / 1e9 - os.stat(core).st_mtime) < 1
    assert "pid %d" % int(core.name.split(".")[1]) in profile.string(profile.comments[0])

    def frame(one):
        return escaped(one["name"] or ""), escaped(one["filename"]), one["lineno"]

    found = [([profile.frame(location) for location in locations], values) for locations, values in profile.samples]
    expected = [([frame(one) for one in stat["traceback"]], [stat["count"], stat["size"]]) for stat in top["stats"]]
    assert found == expected
    names = {profile.string(function[2]) for function in profile.functions.values()}
    assert "Cache.remember (export/program.py)" in names or "remember (export/program.py)" in names


@pytest.mark.skipif(not shutil.which("go"), reason="no Go: go tool pprof is not asked")
def test_go_tool_pprof(newest, cores, core, export, tmp_path):
    (tmp_path / "new.pb.gz").write_bytes(export(core, "pprof"))
    (tmp_path / "old.pb.gz").write_bytes(export(cores(newest, leak=20), "pprof"))

    def ask(*words):
        env = {**os.environ, "PPROF_TMPDIR": str(tmp_path), "GOFLAGS": "", "HOME": str(tmp_path)}
        return subprocess.check_output(["go", "tool", "pprof", *words], text=True, cwd=str(tmp_path), env=env)

    first = ask("-top", "-unit=b", "-focus=remember", "new.pb.gz")
    assert re.search(r"Type: inuse_space", first) and re.search(r"remember \(export/program.py\)", first), first
    grown = ask("-top", "-unit=b", "-diff_base", "old.pb.gz", "new.pb.gz")
    line = next(line for line in grown.splitlines() if "remember" in line)
    # 40 more entries of 2000 bytes and some
    assert 80000 < int(re.match(r"\s*(\d+)B", line)[1]) < 100000, grown


# ---- all of them ---------------------------------------------------------------------------------------------------


def test_filters(core, export):
    """GIVEN a filter, THEN every format has what the filter leaves, and nothing else."""
    words = ["--include", "*/export/program.py"]
    expected = corpses.cli(core, "export", *words).json()
    size, count = expected["selected"]["size"], expected["selected"]["count"]
    assert 0 < size < expected["total"]["size"]
    assert sum(stat["size"] for stat in expected["stats"]) == size
    lines = export(core, "collapsed", *words).decode().splitlines()
    assert sum(int(line.rsplit(" ", 1)[1]) for line in lines) == size
    assert sum(json.loads(export(core, "speedscope", *words))["profiles"][0]["weights"]) == size
    profile = pprof.Profile(export(core, "pprof", *words))
    assert [sum(values[i] for _, values in profile.samples) for i in (0, 1)] == [count, size]


def test_domain(core, export):
    lines = export(core, "collapsed", "--domain", "42").decode().splitlines()
    assert len(lines) == 1 and lines[0].endswith(" %d" % (5 << 32)), lines


def test_same_bytes_in_debuggers(core, tmp_path):
    expected = corpses.cli(core, "export", "--format", "collapsed", "--include", "*/export/program.py").out
    for face in (corpses.gdb, corpses.lldb):
        assert face(core, "export", "--format", "collapsed", "--include", "*/export/program.py").out == expected
    answer = corpses.gdb(core, "export", "--format", "pprof", "-o", tmp_path / "a.pb.gz")
    assert pprof.Profile((tmp_path / "a.pb.gz").read_bytes()).samples, answer


def test_standard_library_table(newest, tmp_path, export):
    """GIVEN a program traced by tracemalloc, which knows no functions, THEN files and lines are exported."""
    program = "import tracemalloc; tracemalloc.start(5); x = [bytes(1000) for _ in range(500)]; print('ready', flush=True); input()"
    core = corpses.gcore_core([newest.executable, "-c", program], tmp_path)
    assert "<string>:1 5" in export(core, "collapsed").decode()
    profile = pprof.Profile(export(core, "pprof"))
    assert ("", "<string>", 1) in {profile.frame(location) for location in profile.locations}
    assert "<string>" in {profile.string(function[2]) for function in profile.functions.values()}
    core.unlink()
