# SPDX-License-Identifier: MIT
"""One list of commands, asked of the command line and of every debugger here: the same bytes from all.

A new verb is tested on all of them by one row more; a verb without a row fails test_every_verb_has_a_row.
"""

import json
import os
import signal
import subprocess

import pytest

import debuggers
from debuggers import CommandLine

ANSWER, ERROR = 0, 2

# (words, what is expected).  {leaked} and the like are addresses that the target wrote down.
ROWS = [
    (["info"], ANSWER),
    (["info", "--json"], ANSWER),
    (["top"], ANSWER),
    (["top", "2"], ANSWER),
    (["top", "--by", "filename"], ANSWER),
    (["top", "--by=function"], ANSWER),
    (["top", "3", "--by", "traceback"], ANSWER),
    (["top", "--json"], ANSWER),
    (["top", "--by", "traceback", "--json"], ANSWER),
    (["traceback", "{leaked}"], ANSWER),
    (["traceback", "{leaked}", "--json"], ANSWER),
    (["traceback", "--json", "{object}"], ANSWER),
    (["traceback", "{inside}"], ANSWER),
    (["blocks"], ANSWER),
    (["blocks", "--limit", "3", "--json"], ANSWER),
    (["blocks", "3"], ANSWER),
    (["blocks", "-m", "2K"], ANSWER),
    (["check"], ANSWER),
    (["check", "--json"], ANSWER),
    (["top", "--all", "--cumulative", "--no-source"], ANSWER),
    (["top", "--include", "*/app.py:4", "--exclude=*gone*"], ANSWER),
    (["top", "--domain", "0", "--json"], ANSWER),
    (["blocks", "--all", "-i", "*/app.py:7", "--all-frames"], ANSWER),
    (["tree"], ANSWER),
    (["tree", "--by", "function", "-p", "20", "--json"], ANSWER),
    (["sizes"], ANSWER),
    (["sizes", "--by", "lineno", "--json"], ANSWER),
    (["diff", "{before}"], ANSWER),
    (["diff", "{before}", "--by", "traceback", "--json"], ANSWER),
    (["dump", "--force", "--redact", "{after}"], ANSWER),
    (["export"], ANSWER),
    (["export", "--format", "collapsed", "--count", "--include", "*/app.py"], ANSWER),
    (["export", "--format", "speedscope"], ANSWER),
    (["export", "--format", "svg"], ERROR),
    (["export", "--format", "json", "--count"], ERROR),
    (["report"], ANSWER),
    (["report", "--format", "markdown", "--limit", "2"], ANSWER),
    (["report", "--format=html", "--include", "*/app.py"], ANSWER),
    (["report", "--format", "html", "--force", "-o", "{page}"], ANSWER),
    (["report", "--json"], ANSWER),
    (["report", "--json", "--limit", "2", "--exclude=*gone*"], ANSWER),
    (["report", "--json", "--force", "-o", "{page}"], ANSWER),
    (["report", "--json", "--format", "html"], ERROR),
    (["report", "--format", "pdf"], ERROR),
    (["dump", "{before}"], ERROR),
    (["diff", "/nonexistent"], ERROR),
    (["tree", "--by", "traceback"], ERROR),
    (["top", "--domain", "none"], ERROR),
    (["top", "0"], ERROR),
    (["top", "-1"], ERROR),
    (["top", "many"], ERROR),
    (["top", "1", "2"], ERROR),
    (["top", "--by"], ERROR),
    (["top", "--by", "colour"], ERROR),
    (["top", "--nonsense"], ERROR),
    (["traceback"], ERROR),
    (["traceback", "{free}"], ERROR),
    (["traceback", "0x10"], ERROR),
    (["traceback", "--nonsense", "{leaked}"], ERROR),
]


def filled(words, facts):
    numbers = {name: value if isinstance(value, str) else hex(value) for name, value in facts.items()}
    return [word.format(inside=hex(facts["leaked"] + 321), **numbers) for word in words]


def rows(facts):
    return [filled(words, facts) for words, _expected in ROWS]


def check(expected, answers):
    """Each row did what its row says, and left no traceback of Python's behind."""
    for (words, kind), (status, output, error) in zip(expected, answers):
        said = "%s: %r %r" % (" ".join(words), output, error)
        assert status == kind, said
        assert "Traceback (most recent" not in output + error and "Python Exception" not in error, said
        if kind == ERROR:
            assert output == "" and error.startswith("tm: ") and error.endswith("\n"), said
        else:
            assert output.endswith("\n") and error == "", said


def test_every_verb_has_a_row():
    program = "import sys; sys.path.insert(0, 'reader'); import tm_engine\n"
    program += "print(*(verb['name'] for verb in tm_engine.load('gdb').verbs))"
    verbs = subprocess.run(
        ["python3", "-c", program], cwd=str(debuggers.ROOT), capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(verbs) - {"help"} == {words[0] for words, kind in ROWS if kind == ANSWER}


@pytest.mark.parametrize("name", ["kernel", "gcore", "program hidden"])
def test_the_command_line_on_a_core(corpses, name):
    """GIVEN a dead process's core, WHEN tm is asked, THEN answers and refusals are as the rows say."""
    corpse = corpses[name]
    answers = CommandLine().ask(rows(corpse.facts), core=corpse.core)
    check(ROWS, answers)
    top = json.loads(answers[ROWS.index((["top", "--json"], ANSWER))][1])
    first = top["stats"][0]
    assert first["size"] == 501 * 1000 and first["count"] == 501
    assert first["traceback"][0]["name"] == "Cache.put" and first["traceback"][0]["lineno"] == 4
    text = answers[ROWS.index((["top"], ANSWER))][1]
    assert "self.data[key] = bytearray(1000)  # the leak" in text


@pytest.mark.parametrize("name", ["kernel", "gcore", "program hidden"])
def test_a_debugger_says_the_same_of_a_core(corpses, debugger, name):
    """GIVEN the same core, WHEN a debugger is asked, THEN it says the same, byte by byte."""
    corpse = corpses[name]
    commands = rows(corpse.facts)
    answers = debugger.ask(commands, core=corpse.core, program=corpse.program)
    check(ROWS, answers)
    assert answers == CommandLine().ask(commands, core=corpse.core)


def test_a_debugger_says_the_same_of_a_process(process, debugger):
    """GIVEN a live process, WHEN a debugger attaches, THEN it says the same, and the process is unharmed."""
    commands = rows(process.facts)
    before = CommandLine().ask(commands, pid=process.process.pid)
    check(ROWS, before)
    answers = debugger.ask(commands, pid=process.process.pid)
    check(ROWS, answers)
    assert answers == before
    assert process.process.poll() is None
    assert CommandLine().ask(commands, pid=process.process.pid) == before


def test_the_other_spelling(corpse, debugger):
    """py-tm-VERB and tm VERB are one command."""
    said = debugger.lines(["tm top 3", "py-tm-top 3"], core=corpse.core)
    assert said[0] == said[1] and "app.py:4" in said[0][0]


def test_an_abbreviation(corpse, debugger):
    address = hex(corpse.facts["leaked"])
    said = debugger.lines(["tm traceback " + address, "tm trace " + address], core=corpse.core)
    assert said[0] == said[1]


def test_a_process_that_is_stopped(process, debugger):
    """GIVEN a process under SIGSTOP, THEN the same answer, and it is still stopped and alive afterwards."""
    pid = process.process.pid
    before = CommandLine().ask([["top"]], pid=pid)
    os.kill(pid, signal.SIGSTOP)
    assert debugger.ask([["top"]], pid=pid) == before
    assert process.process.poll() is None
    os.kill(pid, signal.SIGCONT)
    assert CommandLine().ask([["top"]], pid=pid) == before
