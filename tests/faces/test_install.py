# SPDX-License-Identifier: MIT
"""`make install`, moved to another folder: all parts find one another there.  And what coredumpctl calls."""

import os
import shutil
import subprocess
import time

import pytest

import debuggers

APP = """\
import time
kept = [bytes(4096) for _ in range(999)]
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def prefix(newest, tmp_path_factory):
    """An installation, where it was installed."""
    prefix = tmp_path_factory.mktemp("install") / "prefix"
    done = subprocess.run(
        ["make", "-C", str(debuggers.ROOT), "install", "PREFIX=%s" % prefix, "PYTHONS=%s" % newest],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return prefix


@pytest.fixture(scope="module")
def moved(prefix, tmp_path_factory):
    """The same on another machine: nothing is left at the first place."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "tm"
    shutil.copytree(str(prefix), str(elsewhere))
    return elsewhere


def tm(folder, *words, **options):
    env = debuggers.environment(**options)
    return subprocess.run([str(folder / "bin/tm"), *map(str, words)], capture_output=True, text=True, env=env, timeout=60)


@pytest.fixture
def started(newest, tmp_path):
    """started(folder): the pid of a program that `tm run` of that installation traces."""
    (tmp_path / "app.py").write_text(APP)
    alive = []

    def start(folder):
        process = subprocess.Popen(
            [str(folder / "bin/tm"), "run", "-n", "5", "--", newest.executable, str(tmp_path / "app.py")],
            env=debuggers.environment(),
            stdout=subprocess.PIPE,
        )
        alive.append(process)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.1)  # and now it sleeps, with nothing more to free
        return process.pid

    yield start
    for process in alive:
        process.kill()
        process.communicate()


def test_command_line(moved, started):
    said = tm(moved, "top", started(moved), "1")
    assert said.returncode == 0 and "app.py:2: size=4" in said.stdout, said


def test_the_line_for_the_init_file(moved, started, debugger, tmp_path):
    """GIVEN the printed line in an init file, WHEN the debugger starts, THEN it has the commands and says the same."""
    pid = started(moved)
    kind = "gdb" if debugger in debuggers.GDBS else "lldb"
    said = tm(moved, kind + "-init")
    assert said.returncode == 0 and str(moved) in said.stdout and said.stdout.count("\n") == 1, said
    home = tmp_path / "home"
    home.mkdir()
    (home / (".%sinit" % kind)).write_text(said.stdout)
    argv = [debugger.path, "-p", str(pid)]
    argv += ["-q", "-batch", "-ex", "tm top 1"] if kind == "gdb" else ["--batch", "-o", "tm top 1"]
    done = subprocess.run(
        argv, capture_output=True, text=True, env=dict(debuggers.environment(), HOME=str(home)), timeout=60
    )
    assert tm(moved, "top", pid, "1").stdout in done.stdout, done


def test_the_line_in_the_source_tree():
    for kind in "gdb", "lldb":
        said = tm(debuggers.ROOT / "build", kind + "-init").stdout
        assert said.endswith(" %s\n" % (debuggers.ROOT / kind / ("tm_%s.py" % kind))), said


def test_the_script_is_missing(moved, tmp_path):
    (tmp_path / "bin").mkdir()
    shutil.copy(str(moved / "bin/tm"), str(tmp_path / "bin"))
    said = tm(tmp_path, "gdb-init")
    assert said.returncode == 2 and said.stdout == "" and said.stderr.startswith("tm: cannot find tm_gdb.py"), said


# ---- auto-load -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
def test_gdb_loads_it_itself(gdb, prefix, started, trusted):
    """GIVEN a GDB whose auto-load folder is the installation's, WHEN it meets a traced process, THEN tm is there; where
    it is not trusted, and everywhere else, nothing is said of it."""
    pid = started(prefix)
    share = prefix / "share/gdb/auto-load"
    words = ["-iex", "set auto-load scripts-directory %s" % share, "-iex", "add-auto-load-safe-path %s" % share]
    done = subprocess.run(
        [gdb.path, "-q", "-nx", "-batch", *(words if trusted else []), "-p", str(pid), "-ex", "tm top 1"],
        capture_output=True,
        text=True,
        env=debuggers.environment(),
        timeout=60,
    )
    if trusted:
        assert tm(prefix, "top", pid, "1").stdout in done.stdout and "tm: " not in done.stderr, done
    else:
        assert "libtm" not in done.stdout + done.stderr and 'Undefined command: "tm"' in done.stderr, done


# ---- coredumpctl -----------------------------------------------------------------------------------------------------

# It calls DEBUGGER [ARGUMENTS] EXE -c CORE (run_debug() in systemd's coredumpctl.c).


def test_tm_is_coredumpctls_debugger(corpse, moved):
    exe = ["/does/not/matter", "-c", corpse.core]
    assert tm(moved, "coredump", "top", "2", *exe).stdout == tm(moved, "top", corpse.core, "2").stdout
    before = corpse.facts["before"]
    assert tm(moved, "coredump", "diff", before, *exe).stdout == tm(moved, "diff", before, corpse.core).stdout
    assert tm(moved, "coredump", "top", "--json", *exe).stdout == tm(moved, "top", corpse.core, "--json").stdout
    report = tm(moved, "report", corpse.core, SOURCE_DATE_EPOCH="0").stdout
    assert report and tm(moved, "coredump", *exe, SOURCE_DATE_EPOCH="0").stdout == report
    assert tm(moved, "coredump", *exe[::2], SOURCE_DATE_EPOCH="0").stdout == report


@pytest.mark.parametrize("words", [[], ["-c"], ["run", "/exe", "-c", "/core"], ["nonsense", "/exe", "-c", "/core"]])
def test_what_coredumpctl_would_not_say(moved, words):
    said = tm(moved, "coredump", *words)
    assert said.returncode == 2 and said.stdout == "" and said.stderr.startswith("tm: "), said


def test_a_debugger_with_tm_in_it(corpse, moved, debugger):
    kind = "gdb" if debugger in debuggers.GDBS else "lldb"
    words = ["-q", "-batch", "-nx", "-ex"] if kind == "gdb" else ["--batch", "--no-lldbinit", "-o"]
    done = subprocess.run(
        [str(moved / ("bin/tm-" + kind)), *words, "tm top 2", str(corpse.program), "-c", str(corpse.core)],
        capture_output=True,
        text=True,
        env=debuggers.environment(**{"TM_" + kind.upper(): debugger.path}),
        timeout=60,
    )
    assert tm(moved, "top", corpse.core, "2").stdout in done.stdout, done
