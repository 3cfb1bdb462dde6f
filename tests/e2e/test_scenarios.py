# SPDX-License-Identifier: MIT
"""core-samples/: each program leaves a core in which the line that it marks "the leak" leads."""
import os
from pathlib import Path

import pytest

import corpses

SAMPLES = Path(__file__).resolve().parent.parent.parent / "core-samples"
SCENARIOS = sorted(path for path in SAMPLES.glob("*.py") if "# the leak" in path.read_text())


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
