# SPDX-License-Identifier: MIT
"""Makes corpses of traced programs, and asks the three faces about them."""
import functools
import json
import os
import resource
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TM = str(ROOT / "build" / "bin" / "tm")
GDB_SCRIPT = str(ROOT / "gdb" / "tm_gdb.py")
LLDB_SCRIPT = str(ROOT / "lldb" / "tm_lldb.py")
TIMEOUT = 120


def kernel_writes_cores():
    """Whether a crash leaves a core in the process's directory; None, or the reason why not."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith("|") or "/" in pattern:
        return "core_pattern is %r" % pattern
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        return "the hard limit of RLIMIT_CORE is 0"
    return None


@functools.lru_cache()
def lldb_command():
    """An LLDB whose Python works, as words."""
    return subprocess.check_output([str(ROOT / "tools" / "lldb-command")], text=True).split()


def clean_environment(**more):
    """For programs and debuggers alike: nothing of the shell that runs the tests."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON") and k not in ("LD_PRELOAD", "DEBUGINFOD_URLS")}
    env.update(TERM="dumb", LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1", **more)
    return env


def _unlimited_cores():
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def start(argv, cwd, **options):
    """A program, traced or not, with a directory of its own, where its core falls."""
    return subprocess.Popen(
        [str(word) for word in argv],
        cwd=str(cwd),
        env=options.pop("env", clean_environment()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_unlimited_cores,
        **options,
    )


def traced(python, *argv, n=25):
    return [TM, "run", "-n", n, "--", python.executable, *argv]


def kernel_core(argv, cwd):
    """Runs a program that kills itself; its core, with the program dead and reaped."""
    process = start(argv, cwd)
    out, err = process.communicate(timeout=TIMEOUT)
    cores = sorted(Path(cwd).glob("core*"))
    assert process.returncode in (-signal.SIGABRT, -signal.SIGSEGV, 0), (process.returncode, out, err)
    assert len(cores) == 1, "the kernel left %s: %s" % (cores or "no core", err)
    return cores[0]


def gcore(pid, cwd):
    """A core of a process that lives, by GDB."""
    done = subprocess.run(
        ["gcore", "-o", "core", str(pid)],
        cwd=str(cwd),
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
    )
    path = Path(cwd) / ("core.%d" % pid)
    assert path.exists(), done.stdout.decode()
    return path


def wait_until_ready(process):
    line = process.stdout.readline()
    if line != b"ready\n":
        process.kill()
        raise AssertionError("it said %r: %s" % (line, process.stderr.read().decode()))


def gcore_core(argv, cwd):
    """Runs a program that says "ready" and waits; its gcore, with the program killed and reaped."""
    process = start(argv, cwd)
    try:
        wait_until_ready(process)
        return gcore(process.pid, cwd)
    finally:
        process.kill()
        process.communicate()


class Answer:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return "exit status %s\n%s%s" % (self.status, self.out, self.err)


def run(argv, cwd=None):
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=None if cwd is None else str(cwd),
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def processor_seconds():
    """What children that have ended took, however busy the machine is."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def cli(source, verb, *words):
    return run([TM, verb, source, *words])


def _between_marks(answer):
    """What the command alone printed, in the middle of what debuggers have to say.  A batch may end where it fails."""
    assert "<<<\n" in answer.out, answer
    answer.out = answer.out.split("<<<\n", 1)[1].rsplit(">>>\n", 1)[0]
    return answer


def gdb(source, *words, script=GDB_SCRIPT):
    """source: a core's path or a pid."""
    target = ["-p", source] if isinstance(source, int) else ["-c", source]
    return _between_marks(
        run(
            ["gdb", "-batch", "-nx", "-ex", "set debuginfod enabled off", "-x", script, *target]
            + ["-ex", "echo <<<\\n", "-ex", "tm " + " ".join(map(str, words)), "-ex", "echo >>>\\n"]
        )
    )


def lldb(source, *words, script=LLDB_SCRIPT):
    target = ["-p", source] if isinstance(source, int) else ["-c", source]
    return _between_marks(
        run(
            [*lldb_command(), "--batch", "--no-lldbinit", "-Q", *target]
            + ["-o", "command script import %s" % script]
            + ["-o", "script print('<<<')", "-o", "tm " + " ".join(map(str, words)), "-o", "script print('>>>')"]
        )
    )


FACES = {"cli": lambda source, verb, *words: cli(source, verb, *words), "gdb": gdb, "lldb": lldb}
