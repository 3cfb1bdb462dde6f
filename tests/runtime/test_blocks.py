# SPDX-License-Identifier: MIT
"""What becomes of blocks: sizes, domains, realloc, names, depth; programs/blocks.py has the reasons."""
import pytest


@pytest.mark.parametrize("what", ["once", "big", "realloc_fails", "realloc_moves", "tiny", "clear", "twice", "foreign",
                                  "departed", "many_sites", "names", "recursion"])
def test_blocks(traced, native, what):
    said = traced("blocks", what, native)["said"]
    if said != "None":
        pytest.skip(said)
