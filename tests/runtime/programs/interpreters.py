# SPDX-License-Identifier: MIT
"""Subinterpreters allocate at the same time, each with a GIL of its own where CPython has that; the sums must be right."""
import os
import sys
import threading
import time

import table
from tm import _tm

if sys.version_info >= (3, 13):
    import _interpreters

    def create(own_gil):
        return _interpreters.create("isolated" if own_gil else "legacy")

    def run(interpreter, source):
        error = _interpreters.run_string(interpreter, source)
        assert not error, error
    destroy = _interpreters.destroy
else:
    import _xxsubinterpreters

    def create(own_gil):
        return _xxsubinterpreters.create(isolated=own_gil) if sys.version_info >= (3, 9) else _xxsubinterpreters.create()

    run = _xxsubinterpreters.run_string
    destroy = _xxsubinterpreters.destroy

SOURCE = """
def make(depth, i):
    return make(depth - 1, i) if depth else [bytes(100 + i % 300), str(i) * 9]
keep = {}
for i in range(COUNT):
    keep[i % 997] = make(i % 40, i)
kept = make(3, 12345)
"""


def work(interpreter, count):
    run(interpreter, SOURCE.replace("COUNT", str(count)))
    run(interpreter, "keep.clear(); more = [make(5, i) for i in range(1000)]")
    ended.append(interpreter)


count = int(sys.argv[1])
for own_gil in (False, True):
    if own_gil and sys.version_info < (3, 12):
        continue
    alive = [create(own_gil) for _ in range(4)]
    ended = []
    threads = [threading.Thread(target=work, args=(interpreter, count)) for interpreter in alive]
    for thread in threads:
        thread.start()
    keep = []
    while any(thread.is_alive() for thread in threads):
        keep = [bytes(200 + i) for i in range(300)]
        assert _tm._get_object_traceback(keep[-1])[0][0][0] == __file__
        time.sleep(0)  # until 3.12 nobody asks another interpreter's thread for the GIL
    assert len(ended) == 4, "a thread failed"
    assert sum(trace[2][0][2] == "make" for trace in table.traces()) >= 4 * 2000
    table.check_totals()
    while alive:
        destroy(alive.pop())
    table.check_totals()
    if sys.version_info >= (3, 12):  # before, CPython left things behind
        assert sum(trace[2][0][2] == "make" for trace in table.traces()) == 0
    made = bytes(1234)
    assert _tm._get_object_traceback(made)[0][0][0] == __file__
print("{}", flush=True)
os._exit(0)  # 3.11 waits for ever for threads that ran interpreters, traced or not
