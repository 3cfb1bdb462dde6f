# SPDX-License-Identifier: MIT
"""A debugger's trace function sets a waiting frame to another line, and goes on there.  Prints as JSON in which line of the frame
objects were made, of those whose maker was called by the function that makes it jump: a list of [line by tm, line by
sys._getframe()] each.  (The standard library's tracemalloc is no witness here: what it allocates itself comes in between, and
has tm look at all frames.)"""
import json
import sys

import unwinding
from tm import _tm


class Keeper:
    """keep() makes an object, and remembers it with the line where the function that jumps is now."""

    def __init__(self):
        self.made = []

    @property
    def count(self):
        return len(self.made)

    def __call__(self):
        self.made.append((bytes(700), line_of_debugged(sys._getframe())))


def line_of_debugged(frame):
    while frame and frame.f_code.co_name != "debugged":
        frame = frame.f_back
    return frame.f_lineno


keeper = Keeper()
unwinding.jumps(keeper, 2000)
lines = []
for made, line in keeper.made:
    traceback = _tm._get_object_traceback(made)[0]
    if any(name.endswith("jump") for _, _, name in traceback):
        lines.append([next(where for _, where, name in traceback if name.endswith("debugged")), line])
print(json.dumps(lines))
