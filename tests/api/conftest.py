# SPDX-License-Identifier: MIT
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest


HERE = Path(__file__).resolve().parent
PACKAGES = str(HERE.parent.parent / "build" / "lib" / "python")

# Property tests run in this very process.
sys.path.insert(0, PACKAGES)
if not os.path.exists(os.path.join(PACKAGES, "tm", "_tm" + sysconfig.get_config_var("EXT_SUFFIX"))):
    raise pytest.UsageError(
        "tests/api need tm for the interpreter that runs pytest, too: make PYTHONS='... %s'" % sys.executable
    )


class Program:
    """Runs the programs of this folder, which have plain asserts inside."""

    def __init__(self, python, folder):
        self.python = python
        self.folder = folder

    def __call__(self, name, *args, env=None, options=()):
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TM_"))}
        environment.update(PYTHONPATH=PACKAGES, PYTHONDONTWRITEBYTECODE="1", **env or {})
        command = [self.python.executable, *options, str(HERE / "programs" / name), *map(str, args)]
        done = subprocess.run(
            command, cwd=str(self.folder), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120
        )
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")[-6000:]
        return done.stdout.decode()

    def json(self, name, *args, **kwargs):
        return json.loads(self(name, *args, **kwargs).splitlines()[-1])


@pytest.fixture
def program(python, tmp_path):
    return Program(python, tmp_path)
