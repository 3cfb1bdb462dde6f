# SPDX-License-Identifier: MIT
"""Runs a program of programs/ in a process that tm traces."""
import json
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("TM_BUILD", HERE.parent.parent / "build")) / "lib"
# `make storm` and nightly runs: the long forms.
LONG = bool(os.environ.get("TM_LONG"))


def environment(frames, extra):
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env.update(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(BUILD / "python"))
    if frames:
        env.update(PYTHONTM=str(frames), LD_PRELOAD=str(BUILD / "libtm-preload.so"))
    env.update(extra or {})
    return env


def run(python, program, *arguments, frames=25, options=(), env=None, timeout=120, text=False):
    """The JSON that the program's last line holds.  A status other than 0 and a hang are failures that say what the program
    printed."""
    done = subprocess.run([python, *options, str(HERE / "programs" / (program + ".py")), *map(str, arguments)],
                          env=environment(frames, env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=timeout)
    assert done.returncode == 0, "status %d\n%s\n%s" % (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done if text else json.loads(done.stdout.splitlines()[-1])
