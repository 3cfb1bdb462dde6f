# SPDX-License-Identifier: MIT
"""tm.install(): ResourceWarning and coroutines that were never awaited say where they were made."""
import io
import sys
import unittest
import warnings

import tm

tm.install()
tm.install()
import tracemalloc  # noqa: E402

assert tracemalloc is tm and tracemalloc.Snapshot is tm.Snapshot
tm.start(10)
warnings.simplefilter("always")


def leave_open():
    file = open(__file__)  # opened here
    del file


def shown(function):
    stderr, sys.stderr = sys.stderr, io.StringIO()
    try:
        function()
        return sys.stderr.getvalue()
    finally:
        sys.stderr = stderr


text = shown(leave_open)
assert "ResourceWarning" in text and "Object allocated at" in text, text
assert "in leave_open" not in text and "file = open(__file__)  # opened here" in text.split("Object allocated at")[1], text


async def never():
    pass


def forget():
    never()  # forgotten here


text = shown(forget)
assert "never awaited" in text and "never()  # forgotten here" in text.split("Object allocated at")[1], text


class Case(unittest.TestCase):
    def test_leak(self):
        leave_open()


stream = io.StringIO()
text = shown(lambda: unittest.TextTestRunner(stream, warnings="always").run(unittest.makeSuite(Case) if sys.version_info < (3, 11) else unittest.defaultTestLoader.loadTestsFromTestCase(Case)))
assert "Object allocated at" in text, text

tm.stop()
assert "Enable tracemalloc" in shown(leave_open) or sys.version_info < (3, 8)
