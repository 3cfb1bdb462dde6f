# SPDX-License-Identifier: MIT
"""The end of a process: daemon threads that allocate, finalizers at the very end, raw blocks freed after the interpreter."""
import atexit
import ctypes
import sys
import threading

import raw
import tm


class Last:
    def __del__(self):
        self.last = bytes(1000)
        tm.get_traced_memory()


def forever():
    while True:
        [bytes(i) for i in range(50)]


library = raw.native(sys.argv[1])
allocator = raw.allocator()
assert not library.native_late(ctypes.byref(allocator))
if sys.argv[2] == "threads":
    # A pydebug build changes its raw allocator more than once as it ends, and does not expect anybody to use it meanwhile:
    # it crashes without tm, too.
    if not hasattr(sys, "gettotalrefcount"):
        assert not library.native_background_start(ctypes.byref(allocator), 2)
    for _ in range(2):
        threading.Thread(target=forever, daemon=True).start()
atexit.register(bytes, 100)
if sys.argv[2] == "stop":
    atexit.register(tm.stop)
last = Last()
sys.last = [last]
sys.last.append(sys.last)
print("{}")
