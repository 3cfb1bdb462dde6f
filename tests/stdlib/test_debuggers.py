# SPDX-License-Identifier: MIT
"""Every debugger here says of the standard library's tables what the command line says, byte by byte."""
import pytest

from faces import debuggers
from stdlib_cases import INTERPRETERS

ANSWER, ERROR = 0, 2

# {dict} and the like are addresses that the process wrote down
ROWS = [
    (["info"], ANSWER),
    (["info", "--json"], ANSWER),
    (["top"], ANSWER),
    (["top", "--by", "traceback", "--all", "--json"], ANSWER),
    (["top", "--tracer", "stdlib", "--domain", "389047"], ANSWER),
    (["top", "--tracer", "tm"], ERROR),
    (["top", "--by", "function"], ERROR),
    (["traceback", "{dict}"], ANSWER),
    (["traceback", "--json", "{plain}"], ANSWER),
    (["traceback", "{inside}"], ANSWER),
    (["traceback", "0x10"], ERROR),
    (["blocks", "--limit", "20"], ANSWER),
    (["check"], ANSWER),
    (["dump", "--force", "{snapshot}"], ANSWER),
    (["diff", "{snapshot}"], ANSWER),
    (["report"], ANSWER),
]

DEBUGGERS = debuggers.GDBS + debuggers.LLDBS


@pytest.mark.parametrize("debugger", DEBUGGERS, ids=[debugger.name for debugger in DEBUGGERS])
def test_says_the_same(cases, interpreter, debugger, tmp_path):
    """Of the newest interpreter's core and of its process; of the others, GDB of the process, and LLDB of the core."""
    ways = ["live" if debugger in debuggers.GDBS else "kernel"]
    for way in ["kernel", "live"] if interpreter == INTERPRETERS[-1] else ways:
        case = cases[way]
        places = {what.replace("inside bytearray", "inside"): hex(address) for what, address, _ in case.answers["asked"]}
        commands = [[word.format(snapshot=tmp_path / way, **places) for word in words] for words, _kind in ROWS]
        where = {"pid" if way == "live" else "core": case.source}
        expected = debuggers.CommandLine().ask(commands, **where)
        for (words, kind), (status, output, error) in zip(ROWS, expected):
            assert status == kind and bool(output) == (kind == ANSWER), (words, status, output, error)
        assert debugger.ask(commands, **where) == expected


@pytest.mark.parametrize("debugger", debuggers.LLDBS, ids=[debugger.name for debugger in debuggers.LLDBS])
def test_lldbs_own_reads(cases, debugger):
    """GIVEN a core that only LLDB can read THEN its answer is the same."""
    said = debugger.lines(
        ["tm top", "script import sys; sys.modules['tm_lldb']._core_file = lambda debugger, process: None", "tm top"],
        core=cases["kernel"].source,
    )
    assert said[0] == said[2] and "peak" in said[0][0]


@pytest.mark.parametrize("debugger", debuggers.GDBS, ids=[debugger.name for debugger in debuggers.GDBS])
def test_gdbs_own_reads(cases, debugger):
    """GIVEN a core that only GDB can read THEN its answer is the same."""
    said = debugger.lines(
        ["tm top", "python import sys; sys.modules['tm_gdb_commands'].core_file = lambda number: None", "tm top"],
        core=cases["kernel"].source,
    )
    assert said[0] == said[2] and "peak" in said[0][0]
