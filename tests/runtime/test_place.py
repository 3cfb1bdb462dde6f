# SPDX-License-Identifier: MIT
"""The place where CPython has a thread's state (runtime/tstate.h)."""
import platform
import subprocess

import pytest
import traced_process
from test_sanitized import ROOT, headers_of

LEARNT, RIGHT = 1, 2 | 4  # as place.c has them


@pytest.fixture(scope="module")
def library(python, tmp_path_factory):
    library = tmp_path_factory.mktemp("place") / "libplace.so"
    subprocess.run(["cc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-I", str(ROOT), "-isystem",
                    headers_of(python), str(traced_process.HERE / "place" / "place.c"), str(ROOT / "runtime" / "tstate.c"),
                    "-o", str(library)], check=True)
    return library


@pytest.mark.parametrize("order", [("here", "subinterpreter"), ("subinterpreter", "here")], ids="-first-then-".join)
def test_the_place(traced, python, library, order):
    """
    GIVEN the main interpreter, a new one and a new thread
    WHEN they ask for their thread state
    THEN it is the attached one, from a place that is empty while they are detached; learnt, but for the versions and
    machines that tstate.h names
    """
    found = traced("place", library, *order, frames=0)
    learnt = python.info < (3, 12) or platform.machine() == "x86_64" and (python.info < (3, 15) or not found["shared"])
    assert set(found["answers"].values()) == {RIGHT | LEARNT if learnt else RIGHT}, found
