# SPDX-License-Identifier: MIT
"""tm's tracebacks are those of the standard library's tracemalloc, object by object."""
import subprocess

import pytest
import traced_process

OBJECTS = 3000 if traced_process.LONG else 400
LIMITS = (1, 2, 3, 25, 100) if traced_process.LONG else (1, 3, 25)


@pytest.mark.parametrize("frames", LIMITS)
def test_same_frames_as_tracemalloc(traced, frames):
    """
    GIVEN programs whose stacks change in every way, traced by tm and by the standard library at once
    WHEN each object that they keep is asked for
    THEN both name the same files and lines, and tm the same functions as sys._getframe()
    """
    report = traced("differential", frames, OBJECTS, frames=frames)
    assert report["objects"] > 10 * OBJECTS
    assert len(report["programs"]) == 23
    wrong = {name: found for name, found in report["programs"].items() if found[1]}
    assert not wrong


@pytest.mark.parametrize("way", ["PYTHONMALLOC=malloc", "PYTHONMALLOC=debug", "PYTHONMALLOC=malloc_debug",
                                 "PYTHONMALLOC=pymalloc", "PYTHONMALLOC=pymalloc_debug", "PYTHONMALLOC=mimalloc",
                                 "PYTHONMALLOC=mimalloc_debug", "PYTHONDEVMODE=1", "-X dev"])
def test_every_allocator_below(python, traced, way):
    """
    GIVEN an interpreter that is told to use other allocators
    WHEN programs run
    THEN their objects have the same tracebacks, and the debug allocators find nothing wrong
    """
    if way.startswith("PYTHONMALLOC=") and not python.has_allocator(way.partition("=")[2]):
        pytest.skip("this build has no such allocator")
    options = ["-W", "ignore", "-X", "dev"] if way == "-X dev" else ["-W", "ignore"]
    env = dict([way.split("=")]) if "=" in way else {}
    report = traced("differential", 25, 150, "recursion", "generators", "storm", "threads", frames=25, options=options,
                    env=env)
    assert report["objects"] > 300
    assert not [found for found in report["programs"].values() if found[1]]


def test_frames_that_are_not_shown_yet(traced):
    """
    GIVEN functions that are called from two lines in turns, one of which makes a cell while its frame is not complete
    WHEN two frames of each cell are asked for
    THEN the outermost of them is at the line of that call
    """
    report = traced("cells", frames=2)
    assert len(report["tracebacks"]) == 50
    assert {tuple(frames[1]) for frames in report["tracebacks"]} == {("call_both", report["line"])}


def test_frames_that_a_debugger_moves(traced):
    """
    GIVEN a trace function that sets the frame below to another line
    WHEN objects that it made before and after are asked for
    THEN that frame is where it was each time
    """
    lines = traced("jumping", frames=25)
    assert len(lines) > 1000
    assert len({line for _, line in lines}) == 2
    assert [line for line in lines if line[0] != line[1]] == []


@pytest.mark.parametrize("frames", [3, 25])
def test_greenlets(python, traced, frames):
    """
    GIVEN a program of greenlets, which exchange the stack below the interpreter and link its frames anew
    WHEN each object that it keeps is asked for
    THEN both name the same files and lines
    """
    if subprocess.run([python.executable, "-c", "import greenlet"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this interpreter has no greenlet (Debian's python3-greenlet is for Debian's)")
    objects, different = traced("greenlets", frames, 10000, frames=frames)
    assert objects >= 10000 and not different


def test_generators_that_never_start(traced):
    """
    GIVEN generators that are thrown into before they start
    WHEN the frames that make others stand at the same instruction
    THEN the program goes on: what was taken for a shown frame once was looked at again, and had no code
    """
    assert traced("unstarted_generators", options=["-W", "ignore"]) == "done"


def test_more_frames_than_the_last_time(traced):
    """
    GIVEN a program that was traced with a few frames
    WHEN it is traced with more
    THEN tracebacks have more: what was cut then is not taken for the whole
    """
    report = traced("limits", frames=0)
    assert [limit for limit, _ in report] == [3, 3, 25, 2, 60]
    for limit, lengths in report:
        assert lengths and [found for found, _ in lengths] == [min(limit, depth) for _, depth in lengths]
