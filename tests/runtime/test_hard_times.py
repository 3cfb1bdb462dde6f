# SPDX-License-Identifier: MIT
"""No memory, the end of the process, a runtime that was installed already: the program does not notice."""
import pytest


@pytest.mark.parametrize("way", ["plain", "threads", "stop"])
def test_the_end(traced, native, way):
    """
    GIVEN finalizers, daemon threads and C functions that run after the interpreter's end
    WHEN the process ends
    THEN it does so with status 0
    """
    assert traced("finish", native, way) == {}


def test_no_memory_for_the_table(traced):
    """
    GIVEN a process whose address space may not grow, and memory that it has already
    WHEN it allocates where the table would need a new part
    THEN it goes on, the table counts what it lost, and traces again once it can
    """
    assert traced("refused")["lost"] > 1000
