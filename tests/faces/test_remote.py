# SPDX-License-Identifier: MIT
"""Processes behind a debug server: GDB's gdbserver and LLDB's lldb-server, each asked by both debuggers.

The server may be on another machine.  So nothing of this one is read, though the number of the process may exist here.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time

import pytest

import debuggers
from debuggers import CommandLine

COMMANDS = [
    ["top"], ["top", "--json"], ["top", "--by", "traceback", "--cumulative"], ["tree"], ["blocks", "--all"], ["sizes"],
    ["check"], ["info"], ["info", "--json"], ["report"], ["diff", "{before}"],
    ["traceback", "{leaked}"], ["traceback", "{object}", "--json"], ["traceback", "{free}"],
]  # fmt: skip
# As a debugger has them: the words before the frame's variables, and a register
EXPRESSIONS = ["$rdi", "leaked", "block_variable + 5"]


def is_listening(port):
    with open("/proc/net/tcp") as table:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A" for line in table.readlines()[1:])


@contextlib.contextmanager
def serving(argv, before=()):
    """A server that has begun to listen; PORT in argv is its port.  It must not be asked whether it does: it may serve
    only the first who comes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [*before, *(word.replace("PORT", str(port)) for word in argv)]
    server = subprocess.Popen(
        argv, env=debuggers.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 30
        while not is_listening(port):
            assert server.poll() is None and time.monotonic() < end, argv
            time.sleep(0.02)
        yield port
    finally:
        server.kill()
        server.wait()


def lldb_server(lldb):
    """The server that belongs to an LLDB.  (Called by a link, that of LLDB 19 does not find itself.)"""
    names = [os.path.join(os.path.dirname(os.path.realpath(lldb.path)), "lldb-server"), lldb.name.replace("lldb", "lldb-server")]
    path = next(filter(None, map(shutil.which, names)), None)
    if not path:
        pytest.skip("no lldb-server for %s" % lldb.name)
    return path


def gdbserver(pid):
    path = shutil.which("gdbserver")
    if not path:
        pytest.skip("no gdbserver on this machine")
    return [path, "--once", "--attach", "127.0.0.1:PORT", str(pid)]


def connect(debugger, port):
    if debugger in debuggers.GDBS:
        return ["set sysroot /", "target remote 127.0.0.1:%d" % port]
    return ["gdb-remote 127.0.0.1:%d" % port]


def check(debugger, where, process):
    """The debugger, led by the lines in `where`, says what the command line says; and the process lives on."""
    facts = process.facts
    numbers = {name: value if isinstance(value, str) else hex(value) for name, value in facts.items()}
    commands = [[word.format(**numbers) for word in words] for words in COMMANDS]
    expected = CommandLine().ask(commands, pid=process.pid)
    lines = ["tm " + debuggers.quoted(words) for words in commands]
    lines += ["tm traceback %#x" % facts["leaked"]] + ["tm traceback " + expression for expression in EXPRESSIONS]
    answers = debugger.lines(where + lines + ["detach"], program=process.program)
    assert not any(error for _output, error in answers[: len(where)]), answers[: len(where)]
    said = answers[len(where) : -1]
    for words, (output, error), (status, expected_output, expected_error) in zip(commands, said, expected):
        assert (output, error.replace("error: ", "")) == (expected_output, expected_error), words
    plain, *others = said[len(commands) :]
    assert "app.py:4" in said[0][0] and "Cache.put" in plain[0]
    for expression, answer in zip(EXPRESSIONS, others):
        assert answer[1] == "" and plain[0].partition("\n")[2] == answer[0].partition("\n")[2], (expression, answer)
    assert CommandLine().ask(commands, pid=process.pid) == expected


def test_gdbserver(debugger, process):
    with serving(gdbserver(process.pid)) as port:
        check(debugger, connect(debugger, port), process)
    assert process.process.poll() is None


def test_lldb_server(lldb, process):
    with serving([lldb_server(lldb), "gdbserver", "--attach", str(process.pid), "127.0.0.1:PORT"]) as port:
        check(lldb, connect(lldb, port), process)
    assert process.process.poll() is None


def test_lldb_server_as_a_platform(lldb, process):
    with serving([lldb_server(lldb), "platform", "--server", "--listen", "127.0.0.1:PORT"]) as port:
        where = ["platform select remote-linux", "platform connect connect://127.0.0.1:%d" % port]
        check(lldb, where + ["process attach --pid %d" % process.pid], process)
    assert process.process.poll() is None


def test_nothing_is_read_here(debugger, make):
    """GIVEN a remote process, and one here that has the same number, and nothing random that would tell their stacks
    apart, THEN the remote one is read."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    tried = subprocess.run(unshare + ["true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip("no new pid namespace here: " + tried.stderr.strip())
    still = ["env", "-i", "setarch", "-R"]
    here = make("wait", below=still, source="place/app.py")  # names of one length: their stacks are alike
    # In a pid namespace of its own, the number is still to be had.
    inside = ["sh", "-c", 'echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid; shift; "$@" & wait', "sh", str(here.pid), *still]
    there = make("wait", below=unshare + inside, source="there/app.py")
    assert there.facts == dict(here.facts, **{name: there.facts[name] for name in ("before", "after", "page")})
    enter = ["nsenter", "--target", str(there.pid), "--pid", "--mount"]
    argv = gdbserver(here.pid)
    if debugger in debuggers.LLDBS:
        argv = [lldb_server(debugger), "gdbserver", "--attach", str(here.pid), "127.0.0.1:PORT"]
    with serving(argv, before=enter) as port:
        check(debugger, connect(debugger, port), there)
