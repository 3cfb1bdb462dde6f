# SPDX-License-Identifier: MIT
"""Programs that leave evidence, and what must be true of every answer."""
import os
import signal
import subprocess
from pathlib import Path

import corpses

SANITIZED = corpses.ROOT / "build" / "sanitize" / "bin" / "tm"

# Keeps 20,000 blocks of its line 2 and as many small ones, then does as its argument says.
PROGRAM = """\
def leak(n):
    return [b"x" * (1000 + i % 7) for i in range(n)]


import os, sys

keep = leak(20000)
how = sys.argv[1]
if how == "wait":
    print("ready", flush=True)
    sys.stdin.read()
elif how == "kill":
    os.kill(os.getpid(), 9)
elif how == "abort":
    os.abort()
"""


def write_program(folder, text=PROGRAM, name="program.py"):
    path = Path(folder) / name
    path.write_text(text)
    return path


def run_traced(python, folder, *argv, n=5, env=None, options=(), stdin=None, **more):
    """Runs to the end; (status, stdout, stderr)."""
    done = subprocess.run(
        [corpses.TM, "run", "-n", str(n), *map(str, options), "--", python.executable, *map(str, argv)],
        cwd=str(folder),
        env=env or corpses.clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=corpses.TIMEOUT,
        **more,
    )
    return corpses.Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def killed_with_file(python, folder, name="table.%p.tm"):
    """A table file of a program that was killed by SIGKILL."""
    program = write_program(folder)
    answer = run_traced(
        python, folder, program, "kill", env=corpses.clean_environment(PYTHONTM_FILE=str(Path(folder) / name))
    )
    assert answer.status == -signal.SIGKILL, answer
    (path,) = Path(folder).glob("*.tm")
    return path


def ask(path, *words, tm=None, timeout=20):
    """Asks the command line, which must answer, label the answer or refuse, and be quick."""
    verb, *rest = words
    env = corpses.clean_environment(ASAN_OPTIONS="detect_leaks=0:abort_on_error=1:allocator_may_return_null=1")
    done = subprocess.run(
        [str(tm or corpses.TM), verb, str(path), *map(str, rest)],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout,
    )
    answer = corpses.Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert answer.status in (0, 2, 3), answer
    if answer.status == 2:
        assert answer.err.startswith("tm: "), answer
    return answer


def all_is_well(path):
    """`tm check` is content; its totals."""
    answer = ask(path, "check", "--json")
    assert answer.status == 0, answer
    said = answer.json()
    assert said["findings"] == [] and said["scan"]["size"] == said["total"]["size"], answer
    return said["total"]


def leaking_line(path, program="program.py", line=2):
    """The line of the program is the first of the top; its statistic."""
    stats = ask(path, "top", "1", "--json").json()["stats"]
    frame = stats[0]["traceback"][0]
    assert os.path.basename(frame["filename"]) == program and frame["lineno"] == line, stats
    return stats[0]
