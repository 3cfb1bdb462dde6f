# SPDX-License-Identifier: MIT
"""The page for an incident: all that it is to say, and no text of a target that becomes markup."""

import html.parser
import json
import os
import re
import signal
import subprocess

import pytest

import debuggers
from debuggers import CommandLine

NASTY = "/tmp/``a` | <b>&amp; *x* [y](z).py"
APP = """\
import os, time
code = compile("def f():\\n  return [bytes(300000) for _ in range(9)]\\n", %r, "exec")
exec(code)
kept = f()
print("ready", flush=True)
time.sleep(600)
"""


def report(source, *words, **env):
    argv = [str(debuggers.TM), "report", str(source), *words]
    done = subprocess.run(argv, capture_output=True, text=True, env=debuggers.environment(**env), timeout=60)
    assert done.stderr == "", done
    return done.stdout


class Page(html.parser.HTMLParser):
    """Text and elements of a page; each element is closed where it must be."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.code, self.text = [], set(), [], ""
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        if tag not in ("br", "meta"):
            self.open.append(tag)
        if tag == "code":
            self.code.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] == "code":
            self.code[-1] += data


@pytest.fixture(scope="module")
def nasty(newest, tmp_path_factory):
    """The pid of a program with a name of a file that would like to be markup."""
    app = tmp_path_factory.mktemp("nasty") / "app.py"
    app.write_text(APP % NASTY)
    process = subprocess.Popen(
        [str(debuggers.TM), "run", "-n", "3", "--", newest.executable, str(app)],
        env=debuggers.environment(),
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    yield process.pid
    process.kill()
    process.communicate()


def test_what_it_says(corpse):
    text = report(corpse.core)
    info = CommandLine().ask([["info"]], core=corpse.core)[0][1]
    pid, python = re.search(r"pid (\d+), CPython (\S+),", info).groups()
    for name, value in [("Process", pid), ("State", r"killed by signal 6 \(SIGABRT\)"), ("Python", "CPython " + python)]:
        assert re.search(r"^%s: +%s$" % (name, value), text, re.MULTILINE), text
    assert re.search(r"^Written: +20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$", text, re.MULTILINE), text
    for heading in "What is lost or missing", "Lines that hold", "Tracebacks that hold", "Biggest blocks":
        assert "\n%s" % heading in text
    assert "app.py:4\n      self.data[key] = bytearray(1000)  # the leak\n" in text
    assert "0x%012x" % max(corpse.facts["leaked"], 0) in report(corpse.core, "--limit", "9999")


def test_what_is_missing_is_said_in_all_formats(make):
    corpse = make("filtered")
    for words in [], ["--format", "markdown"], ["--format", "html"]:
        said = report(corpse.core, *words)
        assert "at least " in said and "lower bounds" in said and "Nothing of what" not in said
    said = json.loads(report(corpse.core, "--json"))
    assert said["incomplete"] and set(said["incomplete"]) < set(said["missing"])


def test_json_says_what_the_page_and_the_other_verbs_say(corpse, tmp_path):
    said = json.loads(report(corpse.core, "--json", "--limit", "2"))
    asked = [["info", "--json"], ["top", "2", "--json"], ["top", "2", "--by", "traceback", "--json"]]
    asked.append(["blocks", "--limit", "2", "--json"])
    info, top, tracebacks, blocks = (json.loads(answer[1]) for answer in CommandLine().ask(asked, core=corpse.core))
    for name in "source", "tracing", "pid", "program", "signal", "python", "tracer", "frame_limit", "started", "total":
        assert said[name] == info[name], name
    assert said["lines"] == top["stats"] and said["tracebacks"] == tracebacks["stats"] != []
    assert said["blocks"] == blocks["blocks"] != []
    listed = [sum(line[key] for line in said["lines"]) for key in ("size", "count")]
    rest = said["other_lines"]
    assert [listed[0] + rest["size"], listed[1] + rest["count"]] == [info["total"]["size"], info["total"]["count"]]
    text = report(corpse.core)
    assert said["state"] == "killed by signal 6 (SIGABRT)" and "%s\n" % said["written"] in text
    assert said["missing"] == [] and "incomplete" not in said and "no_blocks" not in said
    page = tmp_path / "page.json"
    report(corpse.core, "--json", "--limit", "2", "-o", str(page))
    assert json.loads(page.read_text()) == said


def test_json_of_a_process_and_of_a_snapshot(process, corpse):
    said = json.loads(report(process.process.pid, "--json"))
    assert said["state"] == "alive" and said["read"] == "2001-09-09T01:46:40Z" and "written" not in said
    said = json.loads(report(corpse.facts["before"], "--json"))
    assert "there are no single blocks in" in said["no_blocks"] and said["blocks"] == [] and said["lines"]


def test_of_a_live_process_the_time_is_now(process):
    assert re.search(r"^Read: +2001-09-09T01:46:40Z$", report(process.process.pid), re.MULTILINE)
    assert re.search(r"^Read: +20[2-9]\d-", report(process.process.pid, SOURCE_DATE_EPOCH=""), re.MULTILINE)
    assert re.search(r"^State: +alive$", report(process.process.pid), re.MULTILINE)


def test_of_a_snapshot_without_blocks(corpse):
    text = report(corpse.facts["before"])
    assert "Not known: there are no single blocks in" in text and "app.py:4" in text


def test_nothing_becomes_html(nasty):
    page = Page(report(nasty, "--format", "html"))
    assert "b" not in page.seen and "script" not in page.seen
    assert NASTY + ":2" in page.code and 'File "%s", line 2, in f' % NASTY in page.text


def test_nothing_becomes_markdown(nasty):
    """By GitHub's rules: | ends a cell unless it has a backslash, and code ends at as many backticks as began it."""
    text = report(nasty, "--format", "markdown")
    rows = [line for line in text.splitlines() if "| ``` /tmp/" in line]
    assert len(rows) > 1
    for row in rows:
        cells = re.split(r"(?<!\\)\|", row)
        assert len(cells) == 7 or len(cells) == 5, row
        code = re.match(r" (`+) (.*?[^`]) \1(?!`)", cells[-2])
        assert code and code.group(2).replace("\\|", "|") == NASTY + ":2", row
    fences = re.findall(r"^(`{3,})$", text, re.MULTILINE)
    assert fences and len(fences) % 2 == 0
    assert len(fences) == len(re.findall("`{3,}$", text, re.MULTILINE)), "each has a line of its own"


def test_a_file_is_whole_or_not_there(corpse, tmp_path):
    page = tmp_path / "page.md"
    assert str(page) in report(corpse.core, "--format", "markdown", "-o", str(page))
    assert page.read_text() == report(corpse.core, "--format", "markdown")
    again = CommandLine().ask([["report", "-o", str(page)]], core=corpse.core)[0]
    assert again[0] == 2 and "exists" in again[2]
    assert os.listdir(str(tmp_path)) == ["page.md"]


def test_signal_of_a_process_that_was_stopped(process):
    """It is no reason of death."""
    os.kill(process.process.pid, signal.SIGSTOP)
    try:
        assert re.search(r"^State: +alive$", report(process.process.pid), re.MULTILINE)
    finally:
        os.kill(process.process.pid, signal.SIGCONT)
