# SPDX-License-Identifier: MIT
"""Three subinterpreters, each with blocks of its own, and a main interpreter that aborts while all of them live.

A reader should find 3 x 1,000 blocks of 5,000 bytes at the line marked "the leak" (it is the same line of the same code
in each, which imports this file as a module), then the main interpreter's 1,000 at the line marked "main".
Where subinterpreters have a GIL of their own (3.12 and newer), they get one.
"""
import os
import sys

blocks = []


def fill():
    for _ in range(1000):
        blocks.append(bytes(5000))  # the leak


def main():
    own = [bytes(4000) for _ in range(1000)]  # main
    try:
        import _interpreters as interpreters  # 3.13 and newer
    except ImportError:
        import _xxsubinterpreters as interpreters  # 3.8 to 3.12
    here = os.path.dirname(os.path.abspath(__file__))
    code = f"import sys\nsys.path.insert(0, {here!r})\nimport subinterpreters\nsubinterpreters.fill()"
    alive = [interpreters.create() for _ in range(3)]
    for interpreter in alive:
        interpreters.run_string(interpreter, code)
    assert len(own) == 1000
    os.abort()


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    main()
