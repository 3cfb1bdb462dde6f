# SPDX-License-Identifier: MIT
"""What LLDB alone has."""

import re

import debuggers


def test_help(lldb):
    (everything, _), (top, error), (alias, _) = lldb.lines(["help tm", "help tm top", "help py-tm-top"])
    for verb in ("info", "top", "traceback"):
        assert " %s " % verb in everything
    assert "Usage: tm top" in top and "--by" in top and "Example" in top and error == ""
    assert "Usage: tm top" in alias


def test_context_counts_not_the_selection(lldb, corpse, make):
    """GIVEN two cores in one LLDB, THEN commands are about the one they are executed in."""
    other = make("abort")
    output, _error = lldb.raw(
        ["tm top --json", "target create --core %s" % other.core, "tm top --json", "target select 0", "tm top --json"],
        core=corpse.core,
    )
    answers = re.findall(r'"source": "pid (\d+),', output)
    assert answers == [str(corpse.facts["pid"]), str(other.facts["pid"]), str(corpse.facts["pid"])]


def test_live_process_is_read_through_proc(lldb, process):
    """LLDB's own reads of a live process go through a socket, at 50 to 86 MB/s."""
    answers = lldb.lines(
        ["script import sys; m = sys.modules['tm_lldb']; old = m.Target.read",
         "script m.Target.read = lambda *a: 1 / 0",
         "tm top 1"],
        pid=process.process.pid,
    )  # fmt: skip
    assert "app.py:4" in answers[2][0], answers


def test_reads_through_lldb_work_too(lldb, process):
    """A remote process: the engine has nothing but LLDB's reads."""
    answers = lldb.lines(
        ["tm top", "script import sys; sys.modules['tm_lldb']._traced_here = lambda process: False", "tm top"],
        pid=process.process.pid,
    )
    assert answers[0] == answers[2] and "app.py:4" in answers[2][0]


def test_core_through_lldb_reads(lldb, corpse):
    """A core that only LLDB can read."""
    answers = lldb.lines(
        ["tm top", "script import sys; sys.modules['tm_lldb']._core_file = lambda debugger, process: None", "tm top"],
        core=corpse.core,
    )
    assert answers[0] == answers[2] and "app.py:4" in answers[2][0]


def test_nothing_but_the_answer(lldb, corpse):
    output, error = lldb.raw(["tm top 1"], core=corpse.core, env=dict(debuggers.environment(), LC_ALL="C"))
    assert "app.py:4" in output and error == ""
