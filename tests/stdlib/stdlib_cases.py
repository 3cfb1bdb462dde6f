# SPDX-License-Identifier: MIT
"""Interpreters, and processes that ran under the standard library's tracemalloc and wrote their own answers down."""
import json
import os
import shutil
import subprocess
from pathlib import Path

from e2e import corpses

ROOT = Path(__file__).resolve().parent.parent.parent
ORACLE = Path(__file__).resolve().parent / "oracle.py"


def _interpreters():
    """TEST_PYTHONS, or all of this machine: nothing is compiled for them here, but it is the same set everywhere."""
    facts = [str(ROOT / "tools" / "python-facts")]
    names = os.environ.get("TEST_PYTHONS", "").split()
    words = subprocess.check_output([*facts, *(names or ["--found"])], text=True).split()
    return sorted({word.split("|")[0] for word in words}, key=lambda name: (_version(name), name))


def _version(executable):
    text = subprocess.check_output([executable, "-c", "import sys; print(*sys.version_info[:3])"], text=True)
    return tuple(map(int, text.split()))


INTERPRETERS = _interpreters()


def identifier(executable):
    version = ".".join(map(str, _version(executable)))
    return version + ("-debian" if executable.startswith("/usr/bin/") else "")


def environment(nframe, **more):
    return corpses.clean_environment(PYTHONTRACEMALLOC=str(nframe), **more)


def copied(executable, folder):
    """An interpreter of its own: (executable, the file that has the interpreter in it, environment to start it with)."""
    ask = "import sys, sysconfig; print(sys.base_prefix); print(sysconfig.get_config_var('INSTSONAME') or ''); print(sysconfig.get_config_var('LIBDIR') or '')"
    prefix, soname, libdir = subprocess.check_output([executable, "-c", ask], text=True).splitlines()
    folder.mkdir()
    copy = library = folder / ("python" + ".".join(map(str, _version(executable)[:2])))
    shutil.copy(os.path.realpath(executable), copy)
    needed = subprocess.check_output(["readelf", "-d", copy], text=True)
    if "[%s]" % soname in needed and os.path.exists(os.path.join(libdir, soname)):
        library = folder / soname
        shutil.copy(os.path.join(libdir, soname), library)
    return copy, library, {"PYTHONHOME": prefix, "LD_LIBRARY_PATH": str(folder)}


class Case:
    """What is read (a core's path or a pid), and what the process said of itself."""

    def __init__(self, source, answers):
        self.source, self.answers = source, answers

    def ask(self, verb, *words):
        return corpses.cli(self.source, verb, *words)


def kernel_case(executable, nframe, blocks, folder, **more):
    answers = folder / "answers.json"
    argv = [executable, ORACLE, answers, blocks, "abort"]
    process = corpses.start(argv, folder, env=environment(nframe, **more))
    out, err = process.communicate(timeout=corpses.TIMEOUT)
    cores = list(folder.glob("core*"))
    assert len(cores) == 1, (process.returncode, out, err)
    return Case(cores[0], json.loads(answers.read_text()))
