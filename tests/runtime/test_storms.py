# SPDX-License-Identifier: MIT
"""Threads, forks, signals, interpreters, code that comes and goes: after each storm the sums equal a full scan."""
from traced_process import LONG

# One arena, and no cache for each thread: an address that is freed is given to another thread at once.
CROWDED = {"MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}


def test_no_live_block_is_lost(traced, native):
    """
    GIVEN eight threads without the GIL, which allocate from one arena
    WHEN they have replaced their blocks many times
    THEN every live block has its trace: it leaves the table before its address can be somebody else's
    """
    steps, keep = (1000000, 125000) if LONG else (60000, 20000)
    found = traced("storm_raw", native, 8, steps, keep, env=CROWDED)
    assert found == {"missing": 0, "extra": 0, "left": 0, "lost": 0, "live": 8 * keep}


def test_fork_in_a_storm(traced, native):
    """
    GIVEN native threads and Python's that allocate
    WHEN the main thread forks
    THEN no child hangs, its totals are right, it traces what it allocates itself, and the parent knows nothing of that
    """
    assert traced("storm_fork", native, 1000 if LONG else 40, options=["-W", "ignore"], timeout=600) == {"lost": 0}


def test_detached_threads(traced):
    """
    GIVEN threads that let go of the interpreter before they allocate
    WHEN their blocks are asked for
    THEN each names its frames
    """
    assert traced("detached", 200 if LONG else 20)["blocks"] > 0


def test_code_that_dies(traced):
    """
    GIVEN functions that live for a moment, so that others take their addresses
    WHEN their blocks are asked for
    THEN none names another file, function or line, and the table does not grow with the number of functions
    """
    found = traced("storm_code", 40000 if LONG else 6000)
    assert found["growth"] < 16 << 20


def test_parallel_threads(traced):
    """
    GIVEN threads that run, replace and collect one another's functions and generators
    WHEN each block is asked for
    THEN it names the line that made it
    """
    assert traced("storm_parallel", 60 if LONG else 5) == {"lost": 0}


def test_start_and_stop_in_a_storm(traced, native):
    assert traced("storm_startstop", native, 20 if LONG else 1.5)["rounds"] > 3


def test_answers_while_finalizers_run(traced):
    """
    GIVEN threads that take snapshots while finalizers run Python code in them
    WHEN another clears, stops and starts
    THEN nobody waits for ever
    """
    assert traced("answers", timeout=60)["rounds"] > 3


def test_signals(traced):
    assert traced("signals", 10 if LONG else 1)["handled"] > 20


def test_interpreters(traced):
    """
    GIVEN interpreters in threads of their own, from 3.12 on with a GIL each
    WHEN they allocate at the same time
    THEN the sums are right, and their blocks go with them
    """
    traced("interpreters", 30000 if LONG else 2000)
