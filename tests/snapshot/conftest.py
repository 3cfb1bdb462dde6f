# SPDX-License-Identifier: MIT
"""A traced program's core, made once."""

import os
import subprocess

import pytest

import corpses
import snapshot_file

PROGRAM = """\
import ctypes, os, sys

class Cache:
    def put(self, key):
        setattr(self, key, bytearray(1000))

def fill(cache, count):
    for key in map(str, range(count)):
        cache.put("k" + key)

cache = Cache()
fill(cache, 400)
secret = "the secret that must not leave " * 20
held = [secret.upper() for _ in range(5)]
os.abort()
"""


@pytest.fixture(scope="session")
def core(newest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("core")
    (folder / "app.py").write_text(PROGRAM)
    return corpses.kernel_core(corpses.traced(newest, folder / "app.py"), folder)


@pytest.fixture
def ask(tm):
    """ask(words..., status=0): (output, errors)."""

    def asked(*words, status=0, **more):
        done = subprocess.run([tm, *map(str, words)], capture_output=True, timeout=60, **more)
        output, errors = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == status, (words, done.returncode, output, errors)
        if status == 2:
            assert output == "" and errors.startswith("tm: ") and errors.count("\n") == 1, (words, output, errors)
        return output, errors

    return asked


@pytest.fixture
def small(tmp_path):
    """A sound snapshot of two lines, with blocks."""
    traces = [(0, 100, (("/a/b.py", 2), ("/a/main.py", 9)), 2), (0, 50, (("/a/c.py", 3),), 1), (7, 4096, (("/a/b.py", 2),), 1)]
    return snapshot_file.write(tmp_path / "small.tm", traces, 25, blocks=True)


@pytest.fixture
def environment():
    return {name: value for name, value in os.environ.items() if name not in ("TM_REDACT_KEY", "PAGER", "NO_COLOR")}
