# SPDX-License-Identifier: MIT
"""Seals (runtime/seals.h), in a runtime that looks at all that a seal proves and aborts if it is not so."""
import json
import os
import re
import shutil
import subprocess

import pytest
import traced_process
from test_sanitized import ROOT, headers_of

# CPython's own tests of what ends frames and resumes them.  "LONG" runs take some that last.
MODULES = ["test_generators", "test_coroutines", "test_sys_settrace", "test_contextlib", "test_raise"]
LONG_MODULES = ["test_asyncgen", "test_asyncio", "test_bdb", "test_concurrent_futures", "test_decimal", "test_descr",
                "test_email", "test_exception_group", "test_except_star", "test_frame", "test_functools", "test_gc",
                "test_inspect", "test_itertools", "test_json", "test_logging", "test_monitoring", "test_pdb", "test_pickle",
                "test_re", "test_sys_setprofile", "test_threading", "test_traceback", "test_typing", "test_unittest",
                "test_yield_from"]


@pytest.fixture(scope="module")
def checking(python, tmp_path_factory):
    """An environment in which the interpreter loads a checking runtime."""
    if python.free_threaded:
        pytest.skip("seals.h says why frames are not sealed here")
    library = tmp_path_factory.mktemp("checking")
    package = library / "python" / "tm"
    shutil.copy(str(traced_process.BUILD / "libtm-preload.so"), str(library))  # loads the runtime that lies beside it
    shutil.copytree(str(traced_process.BUILD / "python" / "tm"), str(package), ignore=shutil.ignore_patterns("_tm.*", "__pycache__"))
    suffix = subprocess.check_output([python.executable, "-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"],
                                     universal_newlines=True).strip()
    sources = [path for path in (ROOT / "runtime").glob("*.c") if path.name != "preload.c"]
    subprocess.run(["cc", "-std=gnu11", "-O1", "-shared", "-fPIC", "-ftls-model=initial-exec", "-DTM_CHECK_SEALS", "-I", str(ROOT),
                    "-isystem", headers_of(python), *map(str, sources), "-o", str(package / ("_tm" + suffix)), "-pthread", "-ldl"],
                   check=True)
    return {"PYTHONPATH": str(library / "python"), "LD_PRELOAD": str(library / "libtm-preload.so")}


def differences(done):
    programs = json.loads(done.stdout.splitlines()[-1])["programs"]
    assert len(programs) > 20
    return {name: found for name, found in programs.items() if found[1]}


def seals_that_proved(printed):
    found = re.search(r"^tm: (\d+) seals proved what they should$", printed, re.MULTILINE)
    assert found, printed[-2000:]
    return int(found.group(1))


@pytest.mark.parametrize("frames", [2, 5, 25, 100])
def test_seals_prove_what_they_should(python, checking, frames):
    """
    GIVEN programs whose frames come and go in every way, with exceptions through all kinds of calls, and a debugger that
    sets waiting frames to other lines
    WHEN each seal is checked that is met intact
    THEN the frames below are what it says, and there were many; and the stacks are those of tracemalloc
    """
    done = traced_process.run(python.executable, "differential", frames, 3000 if traced_process.LONG else 300, frames=frames,
                              env=checking, text=True)
    assert not differences(done)
    assert seals_that_proved(done.stderr) > 10000


def test_programs_do_not_see_marks(python, checking):
    """GIVEN frames that were marked, and some that are not to be traced by lines / THEN that is what they see"""
    done = traced_process.run(python.executable, "trace_lines", frames=25, env=checking, text=True)
    assert seals_that_proved(done.stderr) > 10000


def test_nothing_is_sealed_where_a_jit_may_be_on(python, checking):
    """GIVEN PYTHON_JIT=1, which asks for one / THEN the stacks are right, and none was verified by a seal"""
    done = traced_process.run(python.executable, "differential", 25, 100, frames=25, env=dict(checking, PYTHON_JIT="1"), text=True)
    assert not differences(done)
    assert seals_that_proved(done.stderr) == 0


@pytest.mark.parametrize("module", MODULES + LONG_MODULES * traced_process.LONG)
def test_in_the_tests_of_cpython(python, checking, module, tmp_path):
    """GIVEN a module of CPython's own tests / WHEN it runs / THEN no seal was wrong"""
    found = subprocess.run([python.executable, "-c", "import test.%s" % module], stderr=subprocess.PIPE)
    if found.returncode:
        pytest.skip("this interpreter came without %s" % module)
    done = subprocess.run([python.executable, "-m", "test", "-u", "none", module], cwd=str(tmp_path), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True, stdin=subprocess.DEVNULL,
                          env=dict(traced_process.environment(25, checking), HOME=os.environ.get("HOME", "/")), timeout=600)
    assert "an intact seal, but" not in done.stdout, done.stdout[-2000:]
    assert seals_that_proved(done.stdout) > 1000
