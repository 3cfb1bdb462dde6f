# SPDX-License-Identifier: MIT
"""Evidence of each kind, to be cut and bent."""
import shutil

import pytest

import storm
import corpses
import evidence

LITTLE = """\
import os, sys
sys.path.insert(0, %r)
import tm
keep = [bytes(100 + i %% 7) for i in range(3000)]
for i in range(30):
    tm._tm._track(7, 0x10000 + 64 * i, 1000 + i)
how = sys.argv[1]
if how == "wait":
    print("ready", flush=True)
    sys.stdin.read()
os.kill(os.getpid(), 9 if how == "kill" else 6)
""" % str(corpses.ROOT / "build" / "lib" / "python")


@pytest.fixture(scope="module")
def bodies(newest, tmp_path_factory):
    """One piece of evidence of each kind, of a small program."""
    found = {}
    for kind in storm.EVIDENCE:
        folder = tmp_path_factory.mktemp(kind)
        program = evidence.write_program(folder, LITTLE)
        argv = corpses.traced(newest, program)
        if kind == "kernel":
            if corpses.kernel_writes_cores() is None:
                found[kind] = corpses.kernel_core([*argv, "abort"], folder)
        elif kind == "file":
            env = corpses.clean_environment(PYTHONTM_FILE=str(folder / "a.tm"))
            evidence.run_traced(newest, folder, program, "kill", env=env)
            found[kind] = folder / "a.tm"
        else:
            found[kind] = corpses.gcore_core([*argv, "wait"], folder)
        if kind == "zstd":
            packed = folder / "core.zst"
            corpses.subprocess.check_call(["zstd", "-q", "-1", "-o", str(packed), str(found[kind])])
            found[kind] = packed
    return found


@pytest.fixture
def body(bodies, tmp_path):
    """body(kind): the path of a copy."""

    def copy(kind):
        if kind not in bodies:
            pytest.skip(corpses.kernel_writes_cores())
        return shutil.copy(str(bodies[kind]), str(tmp_path / "body"))

    return copy
