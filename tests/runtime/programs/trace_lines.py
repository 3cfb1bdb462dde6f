# SPDX-License-Identifier: MIT
"""Frames that wait while others allocate keep what they were told of tracing: f_trace_lines is True, or False where it was set
so, and their lines are traced or not."""
import sys

DEPTH = 30


def call(depth, kept, at_the_end):
    frame = sys._getframe()
    wanted = depth % 3 != 0
    if not wanted:
        frame.f_trace_lines = False
    for _ in range(20):
        kept.append([])
    if depth:
        call(depth - 1, kept, at_the_end)
    elif at_the_end:
        at_the_end(frame)
    for _ in range(20):
        kept.append([])
    assert frame.f_trace_lines is wanted


def depths_traced_by_lines():
    seen = set()

    def trace(frame, event, argument):
        if event == "line" and frame.f_code is call.__code__:
            seen.add(frame.f_locals["depth"])
        return trace

    def trace_callers(frame):
        while frame:
            frame.f_trace = trace
            frame = frame.f_back
        sys.settrace(trace)

    call(DEPTH, [], trace_callers)
    sys.settrace(None)
    return seen


for _ in range(300):
    call(DEPTH, [], None)
assert depths_traced_by_lines() == {depth for depth in range(DEPTH + 1) if depth % 3}
