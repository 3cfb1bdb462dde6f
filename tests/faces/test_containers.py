# SPDX-License-Identifier: MIT
"""A process in other mount and pid namespaces, whose Python and whose sources exist only there.  Needs root."""

import os
import pathlib
import re
import subprocess
import time

import pytest

import debuggers
from debuggers import CommandLine

APP = """\
import os, time
kept = [bytes(4096) for _ in range(999)]  # a line that is only inside
print("ready", os.getpid(), flush=True)
time.sleep(600)
"""
# In the new namespaces: a file system of its own over an empty folder, with Python and the program in it
INSIDE = """
mount -t tmpfs none "$1" && mkdir "$1/python" && mount --bind "$2" "$1/python" && cat >"$1/app.py" || exit 1
root=$1; executable=$3; shift 3
exec "$@" "$root/python/$executable" $MORE "$root/app.py"
"""
UNSHARE = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]


@pytest.fixture(scope="module")
def namespaces():
    if os.geteuid() != 0:
        pytest.skip("new namespaces need root")
    done = subprocess.run(UNSHARE + ["mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("no new namespaces here: " + done.stderr.strip())


@pytest.fixture
def inside(namespaces, newest, tmp_path):
    """inside(command...): the pid, as seen from here, of a program that runs there below that command."""
    root = tmp_path / "inside"
    root.mkdir()
    code = "import sys; print(sys.base_prefix); print(sys.executable)"
    prefix, executable = subprocess.check_output([newest.executable, "-c", code], text=True).splitlines()
    executable = pathlib.Path(executable).resolve().relative_to(pathlib.Path(prefix).resolve())
    alive = []

    def start(*command, more=""):
        process = subprocess.Popen(
            UNSHARE + ["sh", "-c", INSIDE, "sh", str(root), prefix, str(executable), *command],
            env=debuggers.environment(MORE=more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        alive.append(process)
        process.stdin.write(APP.encode())
        process.stdin.close()
        assert process.stdout.readline() == b"ready 1\n"
        time.sleep(0.1)  # and now it sleeps, with nothing more to free
        assert not os.listdir(str(root)), "it is to be empty here"
        with open("/proc/%d/task/%d/children" % (process.pid, process.pid)) as children:
            return int(children.read())

    yield start
    for process in alive:
        process.kill()
        process.wait()
        process.stdout.close()


COMMANDS = [["top", "2"], ["top", "1", "--stop"], ["info"], ["report", "--limit", "1"]]
HOLDS = re.compile(
    r"/inside/app\.py:2: size=4\S* [KM]iB, count=\d+, average=\S+ \S+\n"
    r"    kept = \[bytes\(4096\) for _ in range\(999\)\]  # a line that is only inside\n"
)


def check(answers):
    for status, output, error in answers:
        assert status == 0 and error == "", (output, error)
    assert HOLDS.search(answers[0][1]) and HOLDS.search(answers[1][1]), answers


def test_traced_by_tm(inside, debugger):
    pid = inside(str(debuggers.TM), "run", "-n", "3", "--")
    answers = CommandLine().ask(COMMANDS, pid=pid)
    check(answers)
    if debugger in debuggers.LLDBS and "attach failed" in "".join(debugger.raw([], pid=pid, load=False)):
        pytest.skip("%s alone cannot attach to a process of another pid namespace" % debugger.version())  # LLDB 14
    assert debugger.ask(COMMANDS, pid=pid) == answers
    assert CommandLine().ask(COMMANDS, pid=pid) == answers


def test_traced_by_tracemalloc(inside):
    """Where the table lies follows from the Python that is only there."""
    pid = inside("env", more="-X tracemalloc=3")
    check(CommandLine().ask(COMMANDS, pid=pid))


def test_its_core(inside, tmp_path):
    """The core lies here, the sources do not: the answer is the same but for their lines."""
    pid = inside(str(debuggers.TM), "run", "-n", "3", "--")
    subprocess.run(
        ["gcore", "-o", str(tmp_path / "core"), str(pid)], check=True, env=debuggers.environment(), capture_output=True
    )
    core = tmp_path / ("core.%d" % pid)
    live = CommandLine().ask([["top", "--no-source"]], pid=pid)
    os.kill(pid, 9)
    time.sleep(0.1)
    assert CommandLine().ask([["top", "--no-source"]], core=core) == live
