# SPDX-License-Identifier: MIT
"""The interpreters that tests trace."""
import os
import subprocess
from pathlib import Path

FACTS = Path(__file__).resolve().parent.parent / "tools" / "python-facts"


def _ask(python, expression):
    return subprocess.check_output([python, "-c", "import sys, sysconfig; print(%s)" % expression], text=True).strip()


class Python:
    """An interpreter that tests trace."""

    def __init__(self, executable):
        self.executable = executable
        self.version = _ask(executable, "'.'.join(map(str, sys.version_info[:3]))")
        self.suffix = _ask(executable, "sysconfig.get_config_var('EXT_SUFFIX')")
        self.info = tuple(int(part) for part in self.version.split("."))
        self.free_threaded = _ask(executable, "bool(sysconfig.get_config_var('Py_GIL_DISABLED'))") == "True"
        self.pydebug = _ask(executable, "hasattr(sys, 'gettotalrefcount')") == "True"
        self.object_header = int(_ask(executable, "sys.getsizeof(object())"))

    def has_allocator(self, name):
        """Of those that PYTHONMALLOC names: free-threaded builds have mimalloc only."""
        done = subprocess.run([self.executable, "-c", ""], env={"PYTHONMALLOC": name}, stderr=subprocess.DEVNULL)
        return done.returncode == 0

    def __repr__(self):
        return self.executable


def found():
    """Every CPython that `make test` builds for: TEST_PYTHONS, or all of this machine."""
    names = os.environ.get("TEST_PYTHONS", "").split()
    if names:
        facts = subprocess.check_output([str(FACTS), *names], text=True).split()
        executables = [fact.split("|")[0] for fact in facts]
    else:
        executables = subprocess.check_output([str(FACTS), "--found"], text=True).split()
    return sorted((Python(executable) for executable in executables), key=lambda python: python.info)


PYTHONS = found()
