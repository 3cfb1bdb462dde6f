# SPDX-License-Identifier: MIT
"""tm watch: the table is saved from outside, before the kernel kills, without a finger on the process."""
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

import corpses
import evidence
from evidence import ask

GROW = """\
import sys, time
keep = []
def grow():
    keep.append([bytes(1000 + i % 3) for i in range(1000)])
print("ready", flush=True)
for i in range(int(sys.argv[1])):
    grow()
    time.sleep(float(sys.argv[2]) if sys.argv[2:] else 0.005)
if sys.argv[3:]:
    sys.stdin.readline()
    keep.append(bytearray(b"x") * (1 << 30))
sys.stdin.read()
"""


def start_watch(folder, *words):
    return subprocess.Popen(
        [corpses.TM, "watch", *map(str, words)],
        cwd=str(folder),
        env=corpses.clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process):
    process.kill()
    process.communicate()


def numbers(folder):
    return sorted(int(path.stem.rsplit("-", 1)[1]) for path in folder.glob("*.table"))


def wait_for(folder, number):
    """Until the file of that number has been saved."""
    deadline = time.monotonic() + 30
    while numbers(folder)[-1:] < [number] and time.monotonic() < deadline:
        time.sleep(0.05)


def state_of(pid):
    """What would have changed if somebody had a finger on it."""
    status = Path("/proc/%d/status" % pid).read_text()
    wanted = ("TracerPid:", "VmSize:", "VmPTE:", "Threads:", "ShdPnd:", "SigPnd:")
    return [line for line in status.splitlines() if line.startswith(wanted)]


def test_saves_a_process_at_steps_and_keeps_the_last(newest, tmp_path):
    """GIVEN a process that grows past a limit, THEN copies at steps from --at on, the last two of which are kept, 0600, and
    each names the line."""
    program = evidence.write_program(tmp_path, GROW)
    process = corpses.start(corpses.traced(newest, program, 130, 0.03), tmp_path)
    try:
        corpses.wait_until_ready(process)
        watch = start_watch(tmp_path, process.pid, "--at", "50%", "--limit", "200M", "--keep", "2")
        wait_for(tmp_path, 3)
    finally:
        end(process)
    out, err = watch.communicate(timeout=20)
    assert watch.returncode == 0 and err == "", err
    assert out.count("saved") >= 3 and "has ended" in out and "2 files are kept" in out, out
    assert len(numbers(tmp_path)) == 2 and numbers(tmp_path)[0] >= 2
    for path in tmp_path.glob("*.table"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert ask(path, "check").status in (0, 3)
        evidence.leaking_line(path, line=4)
    assert not list(tmp_path.glob(".tm-*"))


def test_an_idle_process_is_copied_exactly_and_not_touched(newest, tmp_path):
    """GIVEN a process that stands still, THEN the copy says to the byte what the process says, and its page tables,
    mappings, signals and tracer are as they were."""
    program = evidence.write_program(tmp_path, GROW)
    process = corpses.start(corpses.traced(newest, program, 20), tmp_path)
    try:
        corpses.wait_until_ready(process)
        time.sleep(1)
        before = state_of(process.pid)
        watch = start_watch(tmp_path, process.pid, "--limit", "1M")
        assert "saved" in watch.stdout.readline()
        assert state_of(process.pid) == before
        (path,) = tmp_path.glob("*.table")
        assert ask(path, "top", "--json", "--all").out == ask(process.pid, "top", "--json", "--all").out
        evidence.all_is_well(path)
        end(watch)
    finally:
        end(process)


def test_names_are_never_taken_from_others(newest, tmp_path):
    program = evidence.write_program(tmp_path, GROW)
    (tmp_path / "w-1").write_text("precious")
    (tmp_path / "w-2").symlink_to("nowhere")
    process = corpses.start(corpses.traced(newest, program, 20), tmp_path)
    try:
        corpses.wait_until_ready(process)
        watch = start_watch(tmp_path, process.pid, "--limit", "1M", "--dump-file", "w-%n")
        watch.stdout.readline()
        end(watch)
    finally:
        end(process)
    assert (tmp_path / "w-1").read_text() == "precious" and not (tmp_path / "nowhere").exists()


def test_what_cannot_be_watched(newest, tmp_path):
    ended = corpses.start(["true"], tmp_path)
    ended.communicate()
    sleeper = corpses.start(["sleep", "60"], tmp_path)
    try:
        for words, said in (
            ((), "PID or a --cgroup"),
            ((1, "--cgroup", "x"), "PID or a --cgroup"),
            ((ended.pid, "--limit", "1G"), "no process"),
            (("--cgroup", "/nonexistent"), "no control group"),
            ((sleeper.pid, "--limit", "1G", "--at", "101"), "from 0 to 100"),
            ((sleeper.pid, "--limit", "1G", "--dump-file", "x"), "%n"),
        ):
            watch = start_watch(tmp_path, *words)
            out, err = watch.communicate(timeout=20)
            assert watch.returncode == 2 and err.startswith("tm: ") and said in err, (words, err)
        watch = start_watch(tmp_path, sleeper.pid, "--limit", "1K")
        line = watch.stdout.readline()
        assert "nothing saved" in line and "no trace table" in line
        end(watch)
    finally:
        end(sleeper)


def remove_group(folder):
    """Its processes have ended, but the kernel may need a moment to see that."""
    for _ in range(100):
        try:
            folder.rmdir()
            break
        except OSError:
            time.sleep(0.05)


@pytest.fixture
def group():
    """A control group with a limit of 150 MiB, of whichever version there is."""
    name = "tm-test-%d" % os.getpid()
    v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    try:
        if (v1 / "memory.limit_in_bytes").exists():
            folder = v1 / name
            folder.mkdir()
            (folder / "memory.limit_in_bytes").write_text("150M")
        else:
            folder = v2 / name
            folder.mkdir()
            (folder / "memory.max").write_text("150M")
    except OSError as error:
        pytest.skip("no control group can be made here: %s" % error)
    yield folder
    remove_group(folder)


def test_oom_killer(newest, tmp_path, group):
    """GIVEN a program in a group that the kernel's OOM killer ends, THEN what was saved before, and the table file, name
    the line."""
    program = evidence.write_program(tmp_path, GROW)
    # A pydebug build's own allocator fills a block before anybody has it.
    argv = ["env", "PYTHONMALLOC=pymalloc"] if newest.pydebug else []
    argv += [corpses.TM, "run", "-n", "5", "--file", "oom.%p.tm", "--", newest.executable, str(program), "95", "0.03", "hog"]
    process = corpses.start(
        ["sh", "-c", 'echo $$ >"$0"/cgroup.procs && exec "$@"', str(group), *argv], tmp_path
    )
    try:
        corpses.wait_until_ready(process)
        watch = start_watch(tmp_path, "--cgroup", group, "--at", "60", "--keep", "2")
        wait_for(tmp_path, 2)
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.wait(timeout=60)
        assert process.returncode == -signal.SIGKILL, process.communicate()
        time.sleep(0.3)
        watch.send_signal(signal.SIGTERM)
        out, err = watch.communicate(timeout=20)
    finally:
        end(process)
    assert out.count("saved") >= 2 and "of 150 MiB" in out, (out, err)
    assert len(numbers(tmp_path)) == 2
    for path in tmp_path.glob("*.table"):
        assert ask(path, "check").status in (0, 3), path
    # The file knows what killed it: a block that was never filled.
    (file,) = tmp_path.glob("*.tm")
    stat = evidence.leaking_line(file, line=11)
    assert stat["size"] >= 1 << 30
    assert ask(file, "top", "--json").json()["total"]["size"] > (1 << 30) + (90 << 20)
    evidence.leaking_line(min(tmp_path.glob("*.table")), line=4)


def test_limit_comes_from_the_group_of_the_process(newest, tmp_path, group):
    program = evidence.write_program(tmp_path, GROW)
    process = corpses.start(
        ["sh", "-c", 'echo $$ >"$0"/cgroup.procs && exec "$@"', str(group), *corpses.traced(newest, program, 40)],
        tmp_path,
    )
    try:
        corpses.wait_until_ready(process)
        watch = start_watch(tmp_path, process.pid, "--at", "20")
        assert "of 150 MiB" in watch.stdout.readline()
        end(watch)
    finally:
        end(process)


def test_processes_of_the_groups_below(newest, tmp_path, group):
    """GIVEN a group with a limit whose processes are all in groups below it, as a slice or a pod, THEN they are found."""
    below = group / "pod" / "container"
    below.mkdir(parents=True)
    program = evidence.write_program(tmp_path, GROW)
    process = corpses.start(
        ["sh", "-c", 'echo $$ >"$0"/cgroup.procs && exec "$@"', str(below), *corpses.traced(newest, program, 40)], tmp_path
    )
    try:
        corpses.wait_until_ready(process)
        watch = start_watch(tmp_path, "--cgroup", group, "--at", "10")
        assert "saved tm-%d-1.table" % process.pid in watch.stdout.readline()
        end(watch)
    finally:
        end(process)
        for folder in (below, below.parent):
            remove_group(folder)
