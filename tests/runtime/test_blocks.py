# SPDX-License-Identifier: MIT
"""What becomes of blocks: sizes, domains, realloc, names, depth; programs/blocks.py has the reasons."""
import pytest


@pytest.mark.parametrize("what", ["once", "big", "far_apart", "realloc_fails", "realloc_moves", "tiny", "clear", "twice", "foreign",
                                  "departed", "many_sites", "names", "recursion"])
def test_blocks(traced, python, native, what):
    env = {}
    if what in ("big", "far_apart") and python.pydebug:  # which would write into all of their 24 GB
        env["PYTHONMALLOC"] = "mimalloc" if python.free_threaded else "pymalloc"
    said = traced("blocks", what, native, env=env)["said"]
    if said != "None":
        pytest.skip(said)
