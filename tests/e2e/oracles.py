# SPDX-License-Identifier: MIT
"""The oracle: makes corpses of oracle_target.py, and compares a face's answer with what the process wrote down.

What differs between snapshot and corpse is known: lines of oracle_target.py from the snapshot on, all of
oracle_report.py, and what these call (json, codecs, os, tm).  Everything else must be equal to the byte.
"""
import collections
import json
import os
import shutil
from pathlib import Path

import corpses

HERE = Path(__file__).resolve().parent
EVERYTHING = 1_000_000


def ran_after_the_snapshot(report, group, frames):
    """Whether what these frames allocated may differ."""
    for filename, lineno in frames:
        name = os.path.basename(filename)
        if name == "oracle_target.py" and (lineno >= report["snapshot_line"] or group == "filename"):
            return True
        if name in ("oracle_report.py", "codecs.py", "os.py", "genericpath.py", "posixpath.py"):
            return True
        if "json" in filename or os.path.basename(os.path.dirname(filename)) == "tm":
            return True
    return not frames or frames[0][0] == "<unknown>"


Line = collections.namedtuple("Line", "size count frames")


def split(report, group, lines):
    """(what must be equal, size of the rest, count of the rest)"""
    stable, size, count = [], 0, 0
    for line in lines:
        if ran_after_the_snapshot(report, group, line.frames):
            size, count = size + line.size, count + line.count
        else:
            stable.append(line)
    return stable, size, count


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
    expected, expected_size, expected_count = split(report, group, of_the_report(report, group))
    lines = of_the_answer(answer)
    found, found_size, found_count = split(report, group, lines)
    assert answer["group_by"] == group
    # First as sets, so that a difference is shown as what it is; then in order.
    assert set(found) == set(expected)
    assert sorted(found, reverse=True) == sorted(expected, reverse=True)
    assert [line.size for line in lines] == sorted((line.size for line in lines), reverse=True)
    assert [line.frames for line in found[:10]] == [line.frames for line in expected[:10]]
    # Totals: the sum of all lines, and equal but for what ran later.
    total = answer["total"]
    assert total["size"] == sum(line.size for line in lines)
    assert total["count"] == sum(line.count for line in lines)
    size, count = (sum(line[i] for line in of_the_report(report, group)) for i in (0, 1))
    assert total["size"] - found_size == size - expected_size
    assert total["count"] - found_count == count - expected_count
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
