# SPDX-License-Identifier: MIT
"""Runs the interpreter's own Lib/test/test_tracemalloc.py against tm, and prints one line of JSON: the outcome of each case,
or null if there is no such file.

The installed file is loaded as it is.  What stands in its way is put aside in its own namespace only:

  tracemalloc, _tracemalloc    are tm
  _PyTraceMalloc_GetTraceback  asks tm's table: CPython's has no traceback of a block that tm was told of
"""
import importlib.util
import io
import json
import os
import sys
import types
import unittest

import tm
from tm import _tm

NAME = "test_tracemalloc"


def find():
    import test

    paths = [os.path.join(folder, NAME + ".py") for folder in test.__path__]
    return next(filter(os.path.exists, paths), None)


def load(path):
    tm.install()
    sys.modules["_tracemalloc"] = types.ModuleType("_tracemalloc")
    for name in ("start", "stop", "is_tracing", "get_traceback_limit"):
        setattr(sys.modules["_tracemalloc"], name, getattr(tm, name))
    spec = importlib.util.spec_from_file_location("test." + NAME, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    patch_testcapi(module)
    return module


class Proxy:
    """A module with some functions replaced."""

    def __init__(self, module, **functions):
        self.__dict__.update(functions)
        self._module = module

    def __getattr__(self, name):
        return getattr(self._module, name)


def patch_testcapi(module):
    # A function in C, so that no frame of this file shows up in a traceback.  PyTraceMalloc_Track() needs nothing of the
    # kind: the runtime turns its calls.
    for name, function in (
        ("_testcapi", "tracemalloc_get_traceback"),
        ("_testinternalcapi", "_PyTraceMalloc_GetTraceback"),
    ):
        if hasattr(getattr(module, name, None), function):
            setattr(module, name, Proxy(getattr(module, name), **{function: _tm._get_traceback}))


class Outcomes(unittest.TextTestResult):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.outcomes = {}

    @staticmethod
    def _key(test):
        return ".".join(test.id().split(".")[-2:]) if not hasattr(test, "test_case") else Outcomes._key(test.test_case)

    def startTest(self, test):
        super().startTest(test)
        self.outcomes[self._key(test)] = ["passed", ""]

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.outcomes[self._key(test)] = ["skipped", reason]

    def _failed(self, test, error):
        self.outcomes[self._key(test)] = ["failed", "".join(self._exc_info_to_string(error, test))[-1500:]]

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self._failed(test, error)

    def addError(self, test, error):
        super().addError(test, error)
        self._failed(test, error)

    def addSubTest(self, test, subtest, error):
        super().addSubTest(test, subtest, error)
        if error is not None:
            self._failed(test, error)


def run(suite, depth):
    """Below as many frames as regrtest has: a case asks whether it sees more than ten."""
    if depth:
        return run(suite, depth - 1)
    return unittest.TextTestRunner(io.StringIO(), resultclass=Outcomes).run(suite)


def main():
    left_out = set(sys.argv[1:])
    path = find()
    if not path:
        return print("null")  # Debian leaves CPython's tests out
    module = load(path)
    suite = unittest.TestSuite()
    outcomes = {}
    for group in unittest.defaultTestLoader.loadTestsFromModule(module):
        for case in group:
            if Outcomes._key(case) in left_out:
                outcomes[Outcomes._key(case)] = ["left out", ""]
            else:
                suite.addTest(case)
    outcomes.update(run(suite, depth=10).outcomes)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
