# SPDX-License-Identifier: MIT
"""Processes that hang: asked while they run, with --stop, and by debuggers that attach.  Each is left as it was found."""

import json
import os
import re
import select
import signal
import subprocess
import time

import pytest

import debuggers

APP = """\
import itertools, os, signal, sys, threading; kept = [None] * 999
kept[:] = map(bytes, [4096] * 999)  # and perhaps a list, which CPython keeps to use it again
signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b"still here\\n"))

def deadlock():
    one, other = threading.Lock(), threading.Lock()
    def wait(mine, yours, both=threading.Barrier(2)):
        with mine:
            both.wait()
            with yours:
                pass
    threads = [threading.Thread(target=wait, args=pair, daemon=True) for pair in ((one, other), (other, one))]
    for thread in threads:
        thread.start()
    os.write(1, b"ready\\n")
    while True:  # join() would not let the handler of the signal run
        threads[0].join(60)

def loop_in_c():
    os.write(1, b"ready\\n")
    any(itertools.repeat(0))

def storm():
    def work():
        while True:
            [bytes(5000) for _ in range(20)]
    for _ in range(3):
        threading.Thread(target=work, daemon=True).start()
    os.write(1, b"ready\\n")
    work()

globals()[sys.argv[1]]()
"""
KEPT = re.compile(r"app\.py:2: size=\S+ [KM]iB, count=(\d+)")
MODES = ["deadlock", "loop_in_c", "storm"]


def facts(path):
    words = dict(line.split(":\t", 1) for line in open(path).read().splitlines() if ":\t" in line)
    return words["State"][0], int(words["TracerPid"])


class Hung:
    def __init__(self, python, app, mode):
        self.mode = mode
        self.process = subprocess.Popen(
            [str(debuggers.TM), "run", "-n", "3", "--", python.executable, str(app), mode],
            env=debuggers.environment(),
            stdout=subprocess.PIPE,
        )
        self.pid = self.process.pid
        assert self.process.stdout.readline() == b"ready\n"
        time.sleep(0.1)  # now it is stuck

    def threads(self):
        folder = "/proc/%d/task" % self.pid
        return {tid: facts("%s/%s/status" % (folder, tid)) for tid in os.listdir(folder)}

    def ticks(self):
        return sum(map(int, open("/proc/%d/stat" % self.pid).read().rsplit(")", 1)[1].split()[11:13]))

    def stop(self):
        os.kill(self.pid, signal.SIGSTOP)
        while not all(state == "T" for state, _tracer in self.threads().values()):  # each stops when it gets there
            time.sleep(0.01)

    def is_unharmed(self, stopped=False):
        """It runs, or is stopped, as before; nobody traces it; and it does what it did."""
        assert self.process.poll() is None
        end = time.monotonic() + 20  # a thread that was let go runs to where it stops
        while any(tracer or (state == "T") != stopped for state, tracer in self.threads().values()):
            assert time.monotonic() < end, self.threads()
            time.sleep(0.01)
        if stopped:
            return
        if self.mode == "loop_in_c":  # no handler of Python's runs there
            before, end = self.ticks(), time.monotonic() + 20
            while self.ticks() == before:
                assert time.monotonic() < end
                time.sleep(0.01)
            return
        end, said = time.monotonic() + 20, b""
        while b"still here\n" not in said:  # the kernel may give a signal to another thread, which does not wake this one
            assert time.monotonic() < end, "it does not answer"
            os.kill(self.pid, signal.SIGUSR1)
            if select.select([self.process.stdout], [], [], 0.5)[0]:
                said += os.read(self.process.stdout.fileno(), 4096)


@pytest.fixture
def hung(newest, tmp_path):
    """hung(mode): a traced process that is stuck."""
    (tmp_path / "app.py").write_text(APP)
    alive = []

    def start(mode):
        alive.append(Hung(newest, tmp_path / "app.py", mode))
        return alive[-1]

    yield start
    for one in alive:
        one.process.kill()
        one.process.communicate()


def tm(*words):
    return subprocess.run(
        [str(debuggers.TM), *map(str, words)],
        capture_output=True,
        text=True,
        env=debuggers.environment(),
        timeout=60,
    )


def kept(text):
    found = KEPT.search(text)
    assert found, text
    return found.group(1)


@pytest.mark.parametrize("stopped", [False, True], ids=["", "SIGSTOP"])
@pytest.mark.parametrize("mode", MODES)
def test_command_line(hung, mode, stopped):
    one = hung(mode)
    if stopped:
        one.stop()
    said = [tm("top", one.pid, *words) for words in ([], ["--stop"], ["--stop"])]
    for done in said:
        assert done.returncode == 0 and done.stderr == "" and kept(done.stdout) in ("999", "1000"), done
    if stopped or mode != "storm":
        assert said[0].stdout == said[1].stdout == said[2].stdout
    one.is_unharmed(stopped)
    if stopped:
        os.kill(one.pid, signal.SIGCONT)
        one.is_unharmed()


def test_debugger(hung, debugger):
    """GIVEN processes stuck in a deadlock, in a loop of C and in a storm, each also under SIGSTOP, WHEN a debugger attaches
    and detaches, THEN it says what the command line says, and they go on."""
    for mode in MODES:
        one = hung(mode)
        before = tm("top", one.pid, "3").stdout
        output, error = debugger.lines(["tm top 3 --stop"], pid=one.pid)[0]
        assert error == "" and kept(output) == kept(before)
        assert mode == "storm" or output == before
        one.is_unharmed()
    one.stop()
    before = tm("top", one.pid, "3").stdout
    assert debugger.lines(["tm top 3"], pid=one.pid)[0] == (before, "")
    assert one.process.poll() is None
    os.kill(one.pid, signal.SIGCONT)
    one.is_unharmed()


def test_in_our_own_hook(hung, debugger):
    """A breakpoint in the hook: the table is in the middle of a change, and is read all the same."""
    one = hung("storm")
    stop = ["break obj_malloc", "continue", "delete", "thread apply all bt 1"]
    if debugger in debuggers.LLDBS:
        stop = ["breakpoint set -n obj_malloc", "process continue", "breakpoint delete --force", "bt all"]
    said = debugger.lines(stop + ["tm top 3", "tm check"], pid=one.pid)
    assert "obj_malloc" in said[3][0], said
    assert kept(said[4][0]) in ("999", "1000"), said
    assert "Traceback" not in said[5][0] + said[5][1]
    one.is_unharmed()


def test_stop_sees_one_moment(hung):
    """GIVEN threads that allocate and free all the time, THEN what --stop reads adds up, but for the change at hand."""
    one = hung("storm")
    for _ in range(20):
        answer = json.loads(tm("top", one.pid, "--all", "--json", "--stop").stdout)
        off = answer["total"]["size"] - sum(entry["size"] for entry in answer["stats"])
        assert abs(off) <= 4 * 5100, answer["total"]
    one.is_unharmed()


def test_stop_and_an_export_that_is_cut_off(hung):
    """The text is kept until the process runs again; that it cannot be written must be noticed all the same."""
    one = hung("deadlock")
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(debuggers.TM), "export", str(one.pid), "--stop"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2 and b"could not be written" in done.stderr
    one.is_unharmed()


def held(ones):
    return all(any(tracer for _state, tracer in one.threads().values()) for one in ones)


def caught(ones, *words):
    """A tm that holds processes still, all of them, and is stopped itself for the time being."""
    for _ in range(200):
        asking = subprocess.Popen(
            [str(debuggers.TM), *words], env=debuggers.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while asking.poll() is None:
            if held(ones):
                asking.send_signal(signal.SIGSTOP)
                time.sleep(0.02)
                if held(ones):
                    return asking
                asking.send_signal(signal.SIGCONT)
        asking.communicate()
    pytest.fail("it was always faster")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("stopped", [False, True], ids=["", "SIGSTOP"])
def test_whatever_ends_it(hung, number, stopped):
    """GIVEN a tm that holds a process still, WHEN it is interrupted or killed, THEN the process is as it was found."""
    one = hung("deadlock")
    if stopped:
        os.kill(one.pid, signal.SIGSTOP)
    asking = caught([one], "check", "--stop", str(one.pid))
    asking.send_signal(number)
    asking.send_signal(signal.SIGCONT)
    asking.communicate(timeout=20)
    assert asking.returncode in (-number, 0, 2)
    one.is_unharmed(stopped)


def test_stop_holds_all_that_live(hung):
    """GIVEN two processes, WHEN one is compared with the other, THEN both stand still at the same time, and go on."""
    one, other = hung("deadlock"), hung("loop_in_c")
    asking = caught([one, other], "diff", str(one.pid), str(other.pid), "--stop")
    asking.send_signal(signal.SIGCONT)
    output, error = asking.communicate(timeout=20)
    assert asking.returncode == 0 and output and not error, error
    one.is_unharmed()
    other.is_unharmed()
    assert tm("diff", one.pid, other.pid, "--stop").stdout == tm("diff", one.pid, other.pid).stdout


def test_stop_of_one_that_is_named_twice(hung, debugger):
    one = hung("deadlock")
    said = tm("diff", one.pid, one.pid, "--stop")
    assert said.returncode == 0 and "(+0 B)" in said.stdout, said
    assert debugger.lines(["tm diff %d --stop" % one.pid], pid=one.pid)[0] == (said.stdout, "")
    one.is_unharmed()


def test_stop_of_another_than_the_debuggers(hung, debugger, corpse):
    """GIVEN a core in a debugger, WHEN it is compared with a process, THEN that is read, and goes on."""
    one = hung("storm")
    output, error = debugger.lines(["tm diff %d --stop --include *app.py:2" % one.pid], core=corpse.core)[0]
    assert error == "" and re.search(r"app\.py:2: size=0 B \(-[34]\d\d\d KiB\), count=0 \(-(999|1000)\)", output), (output, error)
    one.is_unharmed()


def test_a_debugger_has_it_already(hung, gdb):
    one = hung("deadlock")
    lines = ["shell %s top %d%s 2>&1" % (debuggers.TM, one.pid, option) for option in (" --stop", "")]
    said = gdb.lines(lines, pid=one.pid)
    assert re.search(r"tm: process \d+ cannot be stopped: .*; process \d+, a debugger or strace, has it", said[0][0]), said
    assert kept(said[1][0])
    one.is_unharmed()


def test_nothing_to_stop(corpse):
    """A core stands still."""
    assert tm("top", corpse.core, "--stop").stdout == tm("top", corpse.core).stdout
    gone = tm("top", "--stop", "4194303")
    assert gone.returncode == 2 and gone.stderr.startswith("tm: there is no process 4194303")
