# SPDX-License-Identifier: MIT
"""Code that runs while an answer is made (a finalizer, a match of a filter) may resize what the program had before."""
import tm

tm.start(3)
tm.take_snapshot().statistics("lineno")
things = [None] * 1000  # here
here = 7


def of_line():
    return sum(trace.size for trace in tm.take_snapshot().traces if trace.traceback[-1].lineno == here)


assert of_line() >= 8000  # the list itself may come from a free list
tm._tm._untraced(things.extend, [None] * 100000)
assert of_line() < 1000, "the block is gone, its trace is not"  # the list itself is still there
del things
assert of_line() < 1000
