# SPDX-License-Identifier: MIT
"""The oracle: makes corpses of oracle_target.py, and compares a face's answer with what the process wrote down.

What may differ between snapshot and corpse is known: lines of oracle_target.py from the snapshot on, all of
oracle_report.py, and what these call.  Everything else must be equal to the byte, but for a few STRAYS: CPython's cache
of type attributes holds references to names, and lets go of some when new names are looked up.
"""
import collections
import json
import os
import shutil
from pathlib import Path

import corpses

HERE = Path(__file__).resolve().parent
EVERYTHING = 1_000_000
STRAYS = 5  # blocks, of 170,000
CALLED = {"codecs.py", "os.py", "genericpath.py", "posixpath.py", "tracemalloc.py", "_collections_abc.py"}


def ran_after_the_snapshot(report, group, frames):
    """Whether what these frames allocated may differ."""
    for filename, lineno in frames:
        name = os.path.basename(filename)
        if name.startswith("<frozen "):  # the interpreter may have modules of the standard library inside (3.11)
            name = name[len("<frozen ") : -1].rpartition(".")[2] + ".py"
        if name == "oracle_target.py" and (lineno >= report["snapshot_line"] or group == "filename"):
            return True
        if name == "oracle_report.py" or name in CALLED:
            return True
        if "json" in filename or os.path.basename(os.path.dirname(filename)) == "tm":
            return True
    return not frames or frames[0][0] == "<unknown>"


Line = collections.namedtuple("Line", "size count frames")


def split(report, group, lines):
    """(lines that must be equal, count of the others' blocks)"""
    stable = [line for line in lines if not ran_after_the_snapshot(report, group, line.frames)]
    return stable, sum(line.count for line in lines) - sum(line.count for line in stable)


def of_the_report(report, group):
    return [
        Line(size, count, tuple((filename, lineno) for filename, lineno in frames))
        for size, count, frames in report["statistics"][group]
    ]


def of_the_answer(answer):
    return [
        Line(stat["size"], stat["count"], tuple((frame["filename"], frame["lineno"]) for frame in stat["traceback"]))
        for stat in answer["stats"]
    ]


def agree(report, group, answer):
    """The answer (parsed JSON) of a face says what the process itself said."""
    expected, expected_count = split(report, group, of_the_report(report, group))
    lines = of_the_answer(answer)
    found, found_count = split(report, group, lines)
    assert answer["group_by"] == group
    strays = 0
    expected_by, found_by = ({line.frames: line for line in some} for some in (expected, found))
    for frames in set(expected_by) | set(found_by):
        alive, dead = (by.get(frames, Line(0, 0, frames)) for by in (expected_by, found_by))
        if alive != dead:
            own = os.path.basename(frames[0][0]).startswith(("oracle_", "<generated>"))
            assert not own and alive.count > dead.count, (alive, dead)
            assert 0 < alive.size - dead.size <= 100 * (alive.count - dead.count), (alive, dead)
            strays += alive.count - dead.count
    assert strays <= STRAYS
    assert [line.size for line in lines] == sorted((line.size for line in lines), reverse=True)
    assert [line.frames for line in found[:10]] == [line.frames for line in expected[:10]]
    # Totals: the sum of all lines, and equal but for what ran later.
    total = answer["total"]
    assert total["size"] == sum(line.size for line in lines)
    assert total["count"] == sum(line.count for line in lines)
    alive = sum(line.count for line in of_the_report(report, group))
    assert total["count"] - found_count == alive - expected_count - strays
    assert total["lost"] == 0
    assert total["peak"] >= max(report["traced"])


class Corpse:
    """A dead oracle: its core, and what it wrote down."""

    def __init__(self, core, report):
        self.core, self.report = core, report


def copy_program(folder):
    """The program, where its corpse will lie; its path."""
    for file in HERE.glob("oracle_*.py"):
        shutil.copy(file, folder)
    return folder / "oracle_target.py"


def make_oracle(python, kind, folder):
    report = folder / "report.json"
    argv = corpses.traced(python, copy_program(folder), report)
    if kind == "kernel" and corpses.kernel_writes_cores() is None:
        core = corpses.kernel_core([*argv, "abort"], folder)
    else:
        core = corpses.gcore_core([*argv, "wait"], folder)
    return Corpse(core, json.loads(report.read_text()))
