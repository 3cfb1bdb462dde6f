# SPDX-License-Identifier: MIT
"""What may stand for an ADDRESS in a debugger, and that nothing runs in the target to find out."""

import pytest

# Expressions of the frame that died (fake_target.c, die()), and which block they mean
BOTH = [
    ("leaked", "leaked"),
    ("object", "object"),
    ("$r12", "leaked"),
    ("block_variable", "leaked"),
    ("block_variable + 5", "leaked"),
    ("(leaked)", "leaked"),
    ("holder.inner", "object"),
    ("*pointer", "leaked"),
    ("*(char **) pointer", "leaked"),
    ("*(unsigned long *) &holder.inner", "object"),
    ("*(char **) ($rsp + (unsigned long) &holder.inner - $rsp)", "object"),
    ("(void *) leaked", "leaked"),
    ("(char *) leaked + 5", "leaked"),
    ("(unsigned long *) leaked + 124", "leaked"),
    ("(struct holder *) leaked + 41", "leaked"),
    ("((struct holder *) &holder)->inner", "object"),
    ("&((struct holder *) leaked)->inner + 1", "leaked"),
]
GDB_ONLY = [
    ("$r12 + 2 * 8", "leaked"),
    ("$pc ? leaked : 0", "leaked"),
]
LLDB_ONLY = [("r12", "leaked"), ("pointer[0]", "leaked"), ("(struct unknown *) leaked", "leaked")]


def check(debugger, corpse, pairs):
    lines = []
    for expression, means in pairs:
        lines += ["tm traceback " + expression, "tm traceback --json " + expression, "tm traceback %s --json" % expression]
        lines += ["tm traceback %#x" % corpse.facts[means], "tm traceback --json %#x" % corpse.facts[means]]
    said = debugger.lines(lines, core=corpse.core, program=corpse.program)
    for index, (expression, means) in enumerate(pairs):
        text, before, after, plain, plain_json = said[5 * index : 5 * index + 5]
        assert "app.py" in plain[0], plain
        if " lies " in text[0]:  # an address inside a block is told with its distance
            assert text[1] == "" and (" %#x, " % corpse.facts[means]) in text[0], (expression, text)
        else:
            assert (text, before, after) == (plain, plain_json, plain_json), expression


def test_expressions_of_both(debugger, corpse):
    check(debugger, corpse, BOTH)


def test_expressions_of_gdb(gdb, corpse):
    check(gdb, corpse, GDB_ONLY)


def test_paths_of_lldb(lldb, corpse):
    check(lldb, corpse, LLDB_ONLY)


@pytest.mark.parametrize(
    "expression, reason",
    [
        ("holder", "it is a "),
        ("nosuch", "nosuch"),
        ("$nosuch", ""),
        ("leaked +", ""),
        ("die(0, 0, 0)", ""),
        ("'unclosed", ""),
        ('"unclosed', ""),
        ("(((", ""),
        ("*(char *) 0", ""),
        ("*(struct unknown *) leaked", "unknown"),
        ("(struct unknown *) leaked + 1", "unknown"),
        ("((struct holder *) &holder)->outer", "outer"),
        ("*$r12", ""),
        ("(struct holder) leaked", ""),
        ("(long) die(0, 0, 0)", ""),
        ("()", ""),
        ("(char *)", ""),
        ("%s%n", ""),
        ("é", ""),
        ("-x", ""),
        ("99999999999999999999999", "more than 64 bits"),
        ("leaked + 0xffffffffffffffffff", ""),
        ("[", ""),
    ],
)
def test_no_address(debugger, corpse, expression, reason):
    """GIVEN what is no address, THEN one sentence with the expression and the reason, and the debugger goes on."""
    said = debugger.lines(["tm traceback " + expression, "tm top 1"], core=corpse.core, program=corpse.program)
    output, error = said[0]
    assert output == "" and "tm: " in error and "Traceback" not in error and reason in error, error
    assert "app.py" in said[1][0]


def test_nothing_runs_in_the_target(debugger, process):
    """GIVEN a live process, WHEN an ADDRESS is a call, THEN it is refused, and the process was not touched."""
    pid = process.process.pid
    said = debugger.lines(["tm traceback alarm(1)", "tm traceback (long) abort()", "tm top 1"], pid=pid)
    for _output, error in said[:2]:
        assert "tm: " in error
    assert "app.py" in said[2][0]
    assert process.process.poll() is None


def test_gdb_keeps_its_permissions(gdb, corpse):
    said = gdb.lines(
        ["tm traceback leaked", "tm traceback nosuch", "show may-call-functions"], core=corpse.core, program=corpse.program
    )
    assert said[2][0].rstrip().endswith("is on.")
