# SPDX-License-Identifier: MIT
"""Targets with a table that C wrote (fake_target.c), so that these tests need no Python that is traced."""

import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time

import pytest

import debuggers

HERE = pathlib.Path(__file__).parent

# Its lines are what the fake table names; the faces print them.
SOURCE = """\
class Cache:
    data = {}
    def put(self, key):
        self.data[key] = bytearray(1000)  # the leak

def main():
    for key in map(str, range(501)):
        Cache().put(key)
"""


def pytest_report_header(config):
    found = [face.version() for face in debuggers.GDBS + debuggers.LLDBS]
    return "debuggers: " + ("; ".join(found) or "none")


def innermost(pid):
    """The process that one, which runs it below other commands, is there for."""
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        children = file.read().split()
    return innermost(int(children[0])) if children else pid


class Made:
    """A program's remains: its core (or its process), its executable, and the addresses it wrote down."""

    def __init__(self, program, facts, core=None, process=None):
        self.program, self.core, self.process = program, core, process
        self.pid = innermost(process.pid) if process else None
        self.facts = json.loads(facts.read_text()) if facts.exists() else {}
        if core or process:  # files that commands read and write; a broken core has none
            self.facts.update(before=str(facts.with_name("before.tm")), after=str(facts.with_name("after.tm")))
            self.facts["page"] = str(facts.with_name("page.html"))
            source = str(core or self.pid)
            dumped = [str(debuggers.TM), "dump", source, self.facts["before"]]
            subprocess.run(dumped, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def make(tmp_path_factory):
    """make(mode): a fake target; see fake_target.c.  below: the words of a command that runs it; source: the file that its
    table names."""
    assert debuggers.TM.exists() and debuggers.ENGINE.exists(), "not built: make"
    build = tmp_path_factory.mktemp("fake_target")
    program = build / "fake_target"
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [*compiler.split(), "-std=c11", "-g", "-O0", "-Wall", "-Wextra", "-o", str(program), str(HERE / "fake_target.c")],
        check=True,
    )
    alive = []

    def made(mode, gcore=False, below=(), source="app.py"):
        source = build / source
        source.parent.mkdir(exist_ok=True)
        source.write_text(SOURCE)
        folder = tmp_path_factory.mktemp(mode)
        facts = folder / "facts.json"
        process = subprocess.Popen(
            [*below, str(program), str(source), str(facts), "wait" if gcore else mode],
            cwd=str(folder),
            preexec_fn=lambda: resource.setrlimit(
                resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2
            ),
        )
        if mode != "wait" and not gcore:
            assert process.wait(timeout=30) == -signal.SIGABRT
            cores = list(folder.glob("core*"))
            if cores:
                return Made(program, facts, core=cores[0])
            pytest.fail("the kernel left no core: see ulimit -H -c and /proc/sys/kernel/core_pattern")
        alive.append(process)
        end = time.monotonic() + 30
        while not (facts.exists() and facts.read_text().endswith("\n")):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)
        if not gcore:
            return Made(program, facts, process=process)
        subprocess.run(
            ["gcore", "-o", str(folder / "core"), str(process.pid)],
            check=True,
            env=debuggers.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        process.kill()
        process.wait()
        return Made(program, facts, core=folder / ("core.%d" % process.pid))

    yield made
    for process in alive:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def corpse(make):
    """A core of the kernel's."""
    return make("abort")


@pytest.fixture(scope="session")
def corpses(make, corpse):
    """By name: cores that hold all, made both ways; one without its executable."""
    hidden = make("abort")
    hidden.program = None
    return {"kernel": corpse, "gcore": make("abort", gcore=True), "program hidden": hidden}


@pytest.fixture
def process(make):
    """A process that lives, for one test."""
    return make("wait")


@pytest.fixture(params=debuggers.GDBS or [None], ids=lambda face: face.name if face else "missing")
def gdb(request):
    if request.param is None:
        pytest.skip("no GDB on this machine")
    return request.param


@pytest.fixture(params=debuggers.LLDBS or [None], ids=lambda face: face.name if face else "missing")
def lldb(request):
    if request.param is None:
        pytest.skip("no LLDB on this machine")
    return request.param


@pytest.fixture(
    params=(debuggers.GDBS + debuggers.LLDBS) or [None], ids=lambda face: face.name if face else "missing"
)
def debugger(request):
    """Each debugger of this machine."""
    if request.param is None:
        pytest.skip("no debugger on this machine")
    return request.param


@pytest.fixture
def installed(tmp_path):
    """install(debugger): a copy of all that one face needs in one folder, as somebody copies it to another machine."""

    def install(debugger):
        folder = tmp_path / "copied"
        folder.mkdir(exist_ok=True)
        for file in [debuggers.ENGINE, debuggers.ROOT / "reader/tm_engine.py", *debugger.script.parent.glob("*.py")]:
            shutil.copy(file, folder)
        return type(debugger)(debugger.path, folder / debugger.script.name)

    return install
