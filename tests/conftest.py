# SPDX-License-Identifier: MIT
"""What all tests share: where the build is, which interpreters it is for.

A session starts with what `make test` builds.  Nothing is skipped because it was not built: that is a failure.
"""
import sys
from pathlib import Path

import pytest

from interpreters import PYTHONS

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
TM = BUILD / "bin" / "tm"

# corpses.py and oracles.py are for everybody.  (Behind whatever is there: each folder's own modules come first.)
sys.path.append(str(ROOT / "tests" / "e2e"))
sys.dont_write_bytecode = True


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
