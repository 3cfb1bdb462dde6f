# SPDX-License-Identifier: MIT
"""python -m tm [-n FRAMES] (PROGRAM.py | -m MODULE | -c CODE) [ARGUMENT]...: runs a program traced from its first line."""
import argparse
import os
import runpy
import sys

import tm


def parse(words):
    parser = argparse.ArgumentParser(
        prog="python -m tm",
        usage="python -m tm [-n FRAMES] (PROGRAM.py | -m MODULE | -c CODE) [ARGUMENT]...",
        description="Run a Python program traced from its first line on.",
    )
    parser.add_argument("-n", "--frames", type=int, default=25, help="frames of each traceback to keep (default 25)")
    parser.add_argument("-m", dest="module", help="run a library module, as python -m does")
    parser.add_argument("-c", dest="code", help="run this code, as python -c does")
    parser.add_argument("program", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    # What follows -m MODULE and -c CODE belongs to the program, even if it looks like an option of ours.
    for index, word in enumerate(words):
        if word in ("-m", "-c"):
            options = parser.parse_args(words[: index + 2])
            options.program = words[index + 2 :]
            break
        if word in ("-n", "--frames") or words[index - 1 : index] in (["-n"], ["--frames"]):
            continue
        if not word.startswith("-"):
            options = parser.parse_args(words[:index])
            options.program = words[index:]
            break
    else:
        options = parser.parse_args(words)
    if not 1 <= options.frames <= 65535:
        parser.error("-n: the number of frames must be from 1 to 65535")
    if options.module is None and options.code is None and not options.program:
        parser.error("a program to run is missing")
    return options


def main():
    options = parse(sys.argv[1:])
    tm.start(options.frames)
    if options.code is not None:
        sys.argv = ["-c", *options.program]
        sys.path[0] = ""
        exec(compile(options.code, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    elif options.module is not None:
        sys.argv = [options.module, *options.program]
        sys.path[0] = os.getcwd()
        runpy.run_module(options.module, run_name="__main__", alter_sys=True)
    else:
        sys.argv = options.program
        sys.path[0] = os.path.dirname(os.path.abspath(options.program[0]))
        runpy.run_path(options.program[0], run_name="__main__")


main()
