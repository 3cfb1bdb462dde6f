# SPDX-License-Identifier: MIT
"""What all tests share: where the build is, which interpreters it is for.

A session starts with what `make test` builds.  Nothing is skipped because it was not built: that is a failure.
"""
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
TM = BUILD / "bin" / "tm"

# Modules beside the tests, for each folder: tests/e2e/corpses.py and the like.
sys.path.insert(0, str(ROOT / "tests"))
sys.dont_write_bytecode = True


def _ask(python, expression):
    return subprocess.check_output([python, "-c", "import sys, sysconfig; print(%s)" % expression], text=True).strip()


class Python:
    """An interpreter that tests trace."""

    def __init__(self, executable):
        self.executable = executable
        self.version = _ask(executable, "'.'.join(map(str, sys.version_info[:3]))")
        self.suffix = _ask(executable, "sysconfig.get_config_var('EXT_SUFFIX')")
        self.info = tuple(int(part) for part in self.version.split("."))

    def __repr__(self):
        return self.executable


def found():
    """Every CPython that `make test` builds for: TEST_PYTHONS, or all of this machine."""
    names = os.environ.get("TEST_PYTHONS", "").split()
    if names:
        facts = subprocess.check_output([str(ROOT / "tools" / "python-facts"), *names], text=True).split()
        executables = [fact.split("|")[0] for fact in facts]
    else:
        executables = subprocess.check_output([str(ROOT / "tools" / "python-facts"), "--found"], text=True).split()
    return sorted((Python(executable) for executable in executables), key=lambda python: python.info)


PYTHONS = found()


def _id(python):
    twins = [other for other in PYTHONS if other.version == python.version]
    return python.version if len(twins) == 1 else "%s-%d" % (python.version, twins.index(python))


@pytest.fixture(scope="session", params=PYTHONS, ids=_id)
def python(request):
    """Each interpreter in turn."""
    extension = BUILD / "lib" / "python" / "tm" / ("_tm" + request.param.suffix)
    assert extension.exists(), "not built for %s: make PYTHONS=%s" % (request.param, request.param)
    return request.param


@pytest.fixture(scope="session")
def newest():
    """One interpreter, where one is enough: the newest."""
    return PYTHONS[-1]


@pytest.fixture(scope="session")
def tm():
    """The command line."""
    assert TM.exists(), "not built: make"
    return str(TM)
