# SPDX-License-Identifier: MIT
"""The interface on every interpreter.  The asserts are in programs/."""
import pytest


def test_interface(program):
    """GIVEN tm and tracemalloc / WHEN both are used and misused / THEN names, defaults, errors and texts are the same"""
    program("interface.py")


def test_random_traces(program):
    """GIVEN random traces and filters / WHEN tm and tracemalloc are asked / THEN results, order and text are the same"""
    program("random_traces.py", "seed", 150)


@pytest.mark.parametrize("limit", [1, 3, 25])
def test_captured(program, limit):
    """GIVEN a traced program / WHEN it asks its own snapshots / THEN tracemalloc's classes, given the traces, agree"""
    program("captured.py", limit)


def test_objects(program):
    """GIVEN objects of every layout / WHEN get_object_traceback() is asked / THEN it names their lines"""
    program("objects.py")


@pytest.mark.parametrize("allocator", ["pymalloc", "malloc", "mimalloc", "debug"])
def test_objects_of_other_allocators(program, allocator):
    """GIVEN another allocator below / WHEN get_object_traceback() is asked / THEN it names the lines all the same"""
    if not program.python.has_allocator(allocator):
        pytest.skip("this build has no such allocator")
    program("objects.py", env={"PYTHONMALLOC": allocator})


def test_unpolluted(program):
    """GIVEN a traced program / WHEN it asks everything / THEN no answer shows up in the next snapshot"""
    program("unpolluted.py")


def test_files(program):
    """GIVEN dumped snapshots of both / WHEN each is loaded by each / THEN they are equal"""
    program("files.py")


def test_installed(program):
    """GIVEN tm.install() / WHEN something is never closed or awaited / THEN the warning says where it was made"""
    program("installed.py")


def test_memory(program):
    """GIVEN a table / WHEN get_tracemalloc_memory() is asked / THEN it is what the kernel sees, within 5 %"""
    for moment, before, kernels, after in program.json("memory.py"):
        assert before * 0.95 <= kernels <= after * 1.05, (moment, before, kernels, after)


def test_threads(program):
    """GIVEN threads that allocate, ask, start and stop / WHEN they do so for a while / THEN all of them end"""
    program("threads.py", 1.5)


def test_leaks(program):
    """GIVEN a traced program / WHEN it asks everything again and again / THEN it takes no more memory"""
    program("leaks.py")


def test_subinterpreter(program):
    """GIVEN another interpreter in the process / WHEN it uses tm / THEN it gets the same answers"""
    assert program("subinterpreter.py").count("fine") == 3


def test_realloc_while_paused(program):
    """GIVEN a traced list / WHEN it grows while an answer is made / THEN its old block is not counted for ever"""
    program("paused.py")
