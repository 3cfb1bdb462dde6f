# SPDX-License-Identifier: MIT
"""Crash storm: a storm of allocations, killed at a random moment; every corpse must read.

STORM_N runs (50; `make storm` takes 1,000), spread over the interpreters, the signals and the numbers of threads.  The
running totals may differ from a full scan only by the operations in flight, one for each thread.
"""
import os
import random
import signal
import time
from pathlib import Path

import pytest

import corpses
from interpreters import PYTHONS

HERE = Path(__file__).resolve().parent
RUNS = int(os.environ.get("STORM_N", "50"))
BIGGEST = 1 << 20  # of the blocks that storm_target.py makes


@pytest.mark.parametrize("run", range(RUNS))
def test_every_corpse_reads(run, tmp_path):
    chance = random.Random(run)
    python = PYTHONS[run % len(PYTHONS)]
    threads = chance.randrange(1, 8)
    death = chance.choice([signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS])
    process = corpses.start(corpses.traced(python, HERE / "storm_target.py", threads), tmp_path)
    try:
        corpses.wait_until_ready(process)
        time.sleep(chance.random() * 0.3)
        if corpses.kernel_writes_cores() is None:
            process.send_signal(death)
            process.wait(corpses.TIMEOUT)
            (core,) = tmp_path.glob("core*")
        else:
            core = corpses.gcore(process.pid, tmp_path)
    finally:
        process.kill()
        process.communicate()

    start = time.monotonic()
    top = corpses.cli(core, "top", 10, "--json")
    check = corpses.cli(core, "check", "--json")
    assert time.monotonic() - start < 20
    core.unlink()
    assert top.status == 0, (python, death, top)
    assert check.status in (0, 3) and "scan" in check.out, (python, death, check)
    total, scan = check.json()["total"], check.json()["scan"]
    assert total == top.json()["total"]
    in_flight = threads + 1
    assert abs(total["count"] - scan["count"]) <= in_flight, (python, death, check)
    assert abs(total["size"] - scan["size"]) <= in_flight * BIGGEST, (python, death, check)
    assert total["lost"] == 0
    assert total["count"] > 1000
