# SPDX-License-Identifier: MIT
"""tm-lldb finds an LLDB, under whichever name a distribution has it."""
import shutil
import subprocess

import pytest

import corpses

LAUNCHER = str(corpses.ROOT / "lldb" / "tm-lldb")


@pytest.fixture
def path(tmp_path):
    """A PATH with what tm-lldb itself needs, and no debugger."""
    for name in ("dirname", "readlink"):
        (tmp_path / name).symlink_to(shutil.which(name))
    return tmp_path


def add(path, name):
    (path / name).write_text('#!/bin/sh\necho "$0" "$@"\n'.replace("$0", name))
    (path / name).chmod(0o755)


def launch(path, **more):
    return subprocess.run(
        [LAUNCHER, "-c", "core"], env={"PATH": str(path), **more}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_names(path):
    """GIVEN several, THEN `lldb`, or else the newest, or whatever TM_LLDB says; each gets the words and the script."""
    for name, more in (("lldb-9", None), ("lldb-16", "lldb-16"), ("lldb-19", "lldb-19"), ("lldb", "lldb")):
        add(path, name)
        if more:
            done = launch(path)
            assert done.stdout.startswith(more + " -O command script import ") and done.stdout.endswith("-c core\n"), done
    assert launch(path, TM_LLDB="lldb-16").stdout.startswith("lldb-16 ")


def test_none(path):
    for more, name in (({}, "lldb"), ({"TM_LLDB": "/nowhere/lldb"}, "/nowhere/lldb")):
        done = launch(path, **more)
        assert done.returncode == 127 and done.stderr.startswith("tm-lldb: there is no %s here" % name), done
        assert len(done.stderr.splitlines()) == 1 and done.stdout == ""
