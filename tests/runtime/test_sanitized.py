# SPDX-License-Identifier: MIT
"""The runtime under ThreadSanitizer, AddressSanitizer and UBSan, built as with a GIL and as without one.

sanitized/stand_in.c takes the interpreter's place, so that threads may do what free-threaded CPythons will let them do.  It
is made of the structs of 3.13; older headers know no other build than that with a GIL.
"""
import subprocess

import pytest
import traced_process
from interpreters import PYTHONS
from traced_process import LONG

ROOT = traced_process.HERE.parent.parent
# Those that talk to a living interpreter.
NOT_HERE = ("boot.c", "module.c", "preload.c")
BUILDS = {"gil": [], "free-threaded": ["-DPy_GIL_DISABLED=1"]}


def headers_of(python):
    code = "import sysconfig; print(sysconfig.get_path('include'))"
    return subprocess.check_output([python.executable, "-c", code], universal_newlines=True).strip()


@pytest.fixture(scope="session")
def headers():
    for python in PYTHONS:
        if python.info[:2] == (3, 13) and not python.free_threaded:
            return headers_of(python)
    pytest.skip("needs the headers of a CPython 3.13 with a GIL")


# CPython has free-threaded builds since 3.13.
NEWER = [python for python in PYTHONS if python.info >= (3, 13)]
SOURCES = [path for folder in ("runtime", "runtime/python/engine") for path in (ROOT / folder).glob("*.c")]


@pytest.mark.parametrize("python", NEWER, ids=[python.version for python in NEWER], indirect=True)
@pytest.mark.parametrize("name", sorted(str(path.relative_to(ROOT)) for path in SOURCES))
def test_compiles_for_free_threaded_builds(python, name):
    """GIVEN the headers of each CPython that has such builds / THEN there is nothing to warn of: code differs by version"""
    subprocess.run(["cc", "-std=gnu11", "-O1", "-fPIC", "-Wall", "-Wextra", "-Werror", "-I", str(ROOT), "-isystem",
                    headers_of(python), "-DPy_GIL_DISABLED=1", "-fsyntax-only", str(ROOT / name)], check=True)


@pytest.mark.parametrize("switch", [[], ["switch"]], ids=["tracing", "start-stop-clear"])
@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_storm(headers, tmp_path, build, sanitizer, switch):
    """
    GIVEN the hooks, with threads that allocate, free one another's blocks and drop code objects
    WHEN a sanitizer watches
    THEN it has nothing to say, each block names the frames it was made under, and the totals equal a full scan
    """
    program = tmp_path / "storm"
    sources = [path for path in (ROOT / "runtime").glob("*.c") if path.name not in NOT_HERE]
    sources += (traced_process.HERE / "sanitized").glob("*.c")
    subprocess.run(["cc", "-std=gnu11", "-O1", "-g", "-fsanitize=" + sanitizer, "-Wno-tsan", "-Dmmap=stand_in_mmap", "-I",
                    str(ROOT), "-I", str(traced_process.HERE / "sanitized"), "-isystem", headers, *BUILDS[build],
                    *map(str, sources), "-o", str(program), "-pthread", "-ldl"], check=True)
    steps = 500000 if LONG else 10000
    for frames in (1, 2, 5, 25):
        # Without address randomization: older ThreadSanitizers do not know where newer kernels put things.
        done = subprocess.run(["setarch", "-R", str(program), str(steps), str(frames), *switch], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, timeout=600,
                              env={"ASAN_OPTIONS": "detect_leaks=0"})
        assert done.returncode == 0, done.stdout[-4000:]
