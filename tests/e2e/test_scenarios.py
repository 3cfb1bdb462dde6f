# SPDX-License-Identifier: MIT
"""core-samples/: each program leaves a core in which the line that it marks "the leak" leads."""
import os
from pathlib import Path

import pytest

import corpses

SAMPLES = Path(__file__).resolve().parent.parent.parent / "core-samples"
SCENARIOS = sorted(path for path in SAMPLES.glob("*.py") if "# the leak" in path.read_text())

# Blocks of the leak, where the program says how many; a bytearray is two.
SAID = {"leak": 50_000, "extension_crash": 3_000, "hang_lock": 4, "recursion": 5_000}


def test_no_scenario_is_missing():
    """Or the tests below would ask less without a word."""
    assert {path.stem for path in SCENARIOS} == {
        "asyncio_tasks", "extension_crash", "fork", "hang_lock", "leak", "oom", "recursion", "subinterpreters", "threads"
    }  # fmt: skip


def marked(path, mark):
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if line.endswith("# " + mark))


@pytest.fixture(scope="module")
def corpse_of(tmp_path_factory, newest):
    """The core of a scenario, with the process dead."""
    if corpses.kernel_writes_cores() is not None:
        pytest.skip("these die on their own, and the kernel leaves no core here: " + corpses.kernel_writes_cores())
    cores = {}

    def make(path):
        if path not in cores:
            cores[path] = corpses.kernel_core(
                corpses.traced(newest, path), tmp_path_factory.mktemp(path.stem)
            )
        return cores[path]

    yield make
    for core in cores.values():
        core.unlink()


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_leak_leads(corpse_of, path):
    answer = corpses.cli(corpse_of(path), "top", "3", "--json")
    assert answer.status == 0, answer
    first = answer.json()["stats"][0]["traceback"][0]
    assert (os.path.basename(first["filename"]), first["lineno"]) == (path.name, marked(path, "the leak"))
    count = answer.json()["stats"][0]["count"]
    assert SAID.get(path.stem, 1) <= count <= SAID.get(path.stem, count) + 1, count  # and a list


def test_leak_counts(corpse_of):
    path = SAMPLES / "leak.py"
    first = corpses.cli(corpse_of(path), "top", "1", "--by", "traceback", "--json").json()["stats"][0]
    assert (first["count"], first["size"]) == (50_000, 50_000 * 1033) or first["count"] == 50_001  # and the list
    assert [frame["name"] for frame in first["traceback"]] == ["remember", "<module>"]


def test_fork_inherits(corpse_of):
    path = SAMPLES / "fork.py"
    stats = corpses.cli(corpse_of(path), "top", "100", "--json").json()["stats"]
    lines = {stat["traceback"][0]["lineno"]: stat for stat in stats if stat["traceback"][0]["filename"] == str(path)}
    assert lines[marked(path, "inherited")]["count"] in range(1000, 1004)  # and the list
    assert not any(stat["size"] >= 50_000_000 for stat in stats if stat is not stats[0] or stat["count"] < 2000)


def test_subinterpreters_add_up(corpse_of):
    path = SAMPLES / "subinterpreters.py"
    stats = corpses.cli(corpse_of(path), "top", "100", "--json").json()["stats"]
    lines = {stat["traceback"][0]["lineno"]: stat for stat in stats if stat["traceback"][0]["filename"] == str(path)}
    # One line, but two names: as a program, and as the module that the subinterpreters import.
    assert lines[marked(path, "the leak")]["count"] in range(3000, 3010)
    assert lines[marked(path, "main")]["count"] in range(1000, 1010)


def test_asyncio_shows_who_awaited(corpse_of):
    path = SAMPLES / "asyncio_tasks.py"
    first = corpses.cli(corpse_of(path), "top", "1", "--by", "traceback", "--json").json()["stats"][0]
    names = [frame["name"] for frame in first["traceback"]]
    assert names[:2] == ["read_request", "handle"], names
