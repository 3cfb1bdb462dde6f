# SPDX-License-Identifier: MIT
"""The command line on a terminal: columns, colours, pager, progress, Ctrl-C; and plain text everywhere else."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

import pytest

import snapshot_file

LONG = "/very/long/way/to/a/folder/that/has/a/name/of/its/own/and/then/some/more/file_%d.py"


@pytest.fixture
def many(tmp_path):
    traces = [(0, 10000 - i, ((LONG % i, i + 1), ("/app/main.py", 1)), 2) for i in range(40)]
    return snapshot_file.write(tmp_path / "many.tm", traces, 25, blocks=True)


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """Enough blocks that reading them takes a while."""
    traces = [(0, 16, (("/a/%d.py" % (i % 500), 1),), 1) for i in range(60000)]
    parts = snapshot_file.sections(traces, 1, blocks=True)
    path = tmp_path_factory.mktemp("big") / "big.tm"
    path.write_bytes(snapshot_file.assemble(parts[:-1] + [parts[-1]] * 300))
    return path


def on_terminal(words, env, rows=50, columns=80, stop_after=None):
    """(what the terminal got, status)"""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(list(map(str, words)), stdin=theirs, stdout=theirs, stderr=theirs, env=dict(env, TERM="xterm", LC_ALL="C.UTF-8"))
    os.close(theirs)
    said, began = b"", time.monotonic()
    while True:
        if stop_after and time.monotonic() - began > stop_after:
            process.send_signal(signal.SIGINT)
            stop_after = None
        try:
            some = os.read(ours, 65536)
        except OSError:
            break
        if not some:
            break
        said += some
    os.close(ours)
    return said.decode().replace("\r\n", "\n"), process.wait(timeout=30)


def visible(text):
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", text)


@pytest.mark.parametrize("verb", ["top", "tree", "sizes", "diff"])
@pytest.mark.parametrize("columns", [60, 80, 200])
def test_no_line_is_wider_than_the_terminal(tm, many, environment, verb, columns):
    sources = [many, many] if verb == "diff" else [many]
    said, status = on_terminal([tm, verb, *sources], environment, columns=columns)
    assert status == 0 and "\x1b[" in said
    table = visible(said).split("\n\n")[1].splitlines()
    assert len(table) > 1 and all(len(line) <= columns for line in table), table


def test_lines_keep_their_numbers(tm, many, environment):
    said, _status = on_terminal([tm, "top", many, "3"], environment)
    assert "file_0.py:1 " in visible(said) and LONG % 0 not in said
    said, _status = on_terminal([tm, "top", many, "3", "--no-trunc"], environment)
    assert LONG % 0 + ":1" in said


def test_colours_only_where_they_are_wanted(tm, many, environment):
    assert "\x1b[" in on_terminal([tm, "top", many, "3"], environment)[0]
    for unwanted in ({"NO_COLOR": "1"},):
        assert "\x1b[" not in on_terminal([tm, "top", many, "3"], dict(environment, **unwanted))[0]
    plain = subprocess.run([tm, "top", str(many), "3"], env=dict(environment, TERM="xterm"), stdout=subprocess.PIPE).stdout
    assert b"\x1b" not in plain and b"file_0.py:1: size=10000 B, count=1, average=10000 B\n" in plain


def test_pager_gets_what_is_longer_than_the_screen(tm, many, environment):
    env = dict(environment, PAGER="sed s/^/paged:/")
    said, _status = on_terminal([tm, "top", many, "--all"], env, rows=20)
    assert said.count("paged:") > 40
    said, _status = on_terminal([tm, "top", many, "5"], env, rows=20)
    assert "paged:" not in said
    for quiet in ("", "cat"):
        said, _status = on_terminal([tm, "top", many, "--all"], dict(environment, PAGER=quiet), rows=20)
        assert "paged:" not in said and "file_39.py:40" in visible(said)


def test_a_pager_that_is_quit_is_a_quiet_stop(tm, many, environment):
    said, status = on_terminal([tm, "top", many, "--all"], dict(environment, PAGER="head -n 3"), rows=20)
    assert status == 0 and "rror" not in said and "tm: " not in said


def test_progress_is_shown_and_wiped(tm, big, environment):
    said, status = on_terminal([tm, "sizes", big], environment)
    assert status == 0
    shown = re.findall(r"\r\x1b\[Ktm: (\d+) blocks, (\d+)%", said)
    if shown:  # only what takes longer than half a second
        assert said.index("pid ") > said.rindex("\r\x1b[K")
    plain = subprocess.run([tm, "sizes", str(big)], env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    assert plain.stderr == b"" and plain.returncode == 0


def test_ctrl_c(tm, big, environment):
    said, status = on_terminal([tm, "sizes", big], environment, stop_after=0.1)
    assert status in (0, -signal.SIGINT)
    assert status == 0 or "interrupted" in said
