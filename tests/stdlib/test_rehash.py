# SPDX-License-Identifier: MIT
"""Cores of processes that were moving their traces into another array of buckets when they were stopped."""
import json
import subprocess
from pathlib import Path

import pytest

from e2e import corpses
from stdlib_cases import environment

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def stopped(interpreter, tmp_path_factory):
    """(folder of cores, facts)"""
    folder = tmp_path_factory.mktemp("rehash")
    argv = ["gdb", "-batch", "-nx", "-x", HERE / "stop_in_rehash.py", "--args", interpreter, HERE / "rehash_target.py"]
    done = subprocess.run(
        list(map(str, argv)),
        cwd=str(folder),
        env=environment(5),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=corpses._unlimited_cores,
        timeout=corpses.TIMEOUT,
    )
    facts = json.loads((folder / "rehash.json").read_text()) if (folder / "rehash.json").exists() else {}
    assert "symbols" in facts, (facts, done.stdout.decode("utf-8", "replace")[-3000:])
    if not facts["symbols"]:
        pytest.skip("GDB knows no hashtable_rehash() in it to stop at")
    yield folder, facts
    for core in folder.iterdir():
        core.unlink()


def top(core):
    return corpses.cli(core, "top", "--all", "--by", "traceback", "--json").json()


@pytest.mark.parametrize("what", ["grow", "shrink"])
def test_all_is_found_in_the_middle_of_a_rehash(stopped, what):
    """GIVEN a core from within a rehash THEN the answer is that of the moment before, and proven; or, between the two
    instructions that move an entry, labelled and nearly all.  The label also stays where the rest of a chain had to be
    guessed, and a block that is counted in one place only (always in 3.8, after a removal in all versions) keeps the
    sums from proving it."""
    folder, facts = stopped
    before = top(folder / ("before-" + what))
    python = corpses.cli(folder / ("before-" + what), "info", "--json").json()["python"]
    cores = sorted(folder.glob(what + "-*"))
    assert len(cores) == 5
    labelled, proven = 0, None
    for core in cores:
        answer = top(core)
        info = corpses.cli(core, "info", "--json").json()
        if "incomplete" in answer:
            sums_prove = what == "grow" and not python.startswith("3.8.")
            labelled += answer["total"]["count"] < before["total"]["count"] or sums_prove
            assert -facts[what]["chain"] <= answer["total"]["count"] - before["total"]["count"] <= 0
            assert "proof" not in info
            continue
        assert (answer["stats"], answer["total"]) == (before["stats"], before["total"])
        assert info["proof"].endswith("rebuilt from a rehash in progress")
        proven = core
    assert corpses.cli(proven, "check").status == 0
    assert labelled <= 1


def test_a_block_is_found_on_either_side(stopped):
    """Those that have been moved, and those that have not."""
    folder, _facts = stopped
    core = folder / "grow-6"
    blocks = corpses.cli(core, "blocks", "--all", "--json").json()["blocks"]
    for block in blocks[:: len(blocks) // 20]:
        answer = corpses.cli(core, "traceback", "--json", block["address"]).json()
        assert answer["block"]["address"] == block["address"] and answer["block"]["size"] == block["size"]


@pytest.mark.skipif(corpses.kernel_writes_cores() is not None, reason="the kernel writes cores elsewhere")
def test_the_kernels_core(stopped):
    """GIVEN a SIGABRT in the middle of it THEN the kernel's core is as good as GDB's of that moment."""
    folder, _facts = stopped
    cores = [core for core in folder.glob("core*")]
    assert len(cores) == 1
    last = top(folder / "shrink-9")
    answer = top(cores[0])
    assert (answer["stats"], answer["total"]) == (last["stats"], last["total"])
    assert ("incomplete" in answer) == ("incomplete" in last)


def test_gdb_says_the_same(stopped):
    """And so does a debugger."""
    folder, _facts = stopped
    core = folder / "grow-9"
    assert corpses.gdb(core, "top", "20", "--json").json() == corpses.cli(core, "top", "20", "--json").json()
