# SPDX-License-Identifier: MIT
"""The cells of a function are made while its frame is not complete, and is not shown: so the traceback begins with its caller,
and shows one frame more below than that of a function which stood in the same place before.  Prints as JSON where cells were
made: a list of [function, line] each, newest first, and the line that all should have in call_both().  (The standard library's
tracemalloc is no witness here: what it allocates itself comes in between.)"""
import json

from tm import _tm


def without():
    return bytes(50)


def with_cell():
    held = 1
    return lambda: held


def call(function):
    return function()


def call_both(kept):
    for i in range(0, len(kept), 2):
        kept[i] = call(without)
        kept[i + 1] = call(with_cell)


results = [None] * 100
call_both(results)
tracebacks = [_tm._get_object_traceback(made.__closure__[0])[0] for made in results[1::2]]
print(json.dumps({"tracebacks": [[[name, line] for _, line, name in traceback] for traceback in tracebacks],
                  "line": call_both.__code__.co_firstlineno + 3}))
