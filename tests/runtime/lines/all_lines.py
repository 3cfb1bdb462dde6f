# SPDX-License-Identifier: MIT
"""Asks runtime/lines.c, as a library, for the line of each instruction of standard modules: forwards, at random, backwards.

    all_lines.py LIBRARY    prints how many were asked for; the first one that CPython tells otherwise ends it with status 1
"""
import ctypes
import glob
import os
import random
import sys
import sysconfig
import types

AS_UNITS = 2 if sys.version_info >= (3, 10) else 1  # frames say where they are in units, or in bytes before 3.10


def lines_by_unit(code):
    """What CPython says; 0: no line."""
    length = len(code.co_code)
    if sys.version_info >= (3, 10):
        ranges = code.co_lines()
    else:  # Objects/lnotab_notes.txt
        ranges, start, line = [], 0, code.co_firstlineno
        for units, delta in zip(code.co_lnotab[::2], code.co_lnotab[1::2]):
            ranges.append((start, start + units, line))
            start, line = start + units, line + (delta - 256 if delta > 127 else delta)
        ranges.append((start, length, line))
    lines = [0] * length
    for start, end, line in ranges:
        lines[start:end] = [line or 0] * (end - start)
    return lines[::AS_UNITS]


def code_objects(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from code_objects(constant)


def main(library):
    line_of = ctypes.PyDLL(library).tm_code_line
    line_of.restype = ctypes.c_uint32
    line_of.argtypes = [ctypes.py_object, ctypes.c_ssize_t, ctypes.c_bool]
    alive = []  # of code that dies, the runtime would be told
    asked = 0
    chance = random.Random(5)
    for path in sorted(glob.glob(os.path.join(sysconfig.get_paths()["stdlib"], "*.py")))[::4]:
        with open(path, "rb") as file:
            alive.append(compile(file.read(), path, "exec"))
        for code in code_objects(alive[-1]):
            lines = lines_by_unit(code)
            every = range(len(lines))
            orders = [every, chance.sample(every, min(len(lines), 200)), every[::-1][:200]]
            for lasting, order in zip((True, True, False), orders):
                for unit in order:
                    found = line_of(code, unit, lasting)
                    asked += 1
                    if found != lines[unit]:
                        sys.exit("%r at %d: line %d, not %d" % (code, unit, found, lines[unit]))
    print(asked)


main(sys.argv[1])
