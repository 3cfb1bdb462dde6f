# SPDX-License-Identifier: MIT
"""The interface in another interpreter of the same process, with a GIL of its own where there is such a thing."""
import sys

import tm

try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        sys.exit("no subinterpreters")

CODE = """
import sys, tm
assert tm.is_tracing()
class Thing: pass
thing = Thing()
traceback = tm.get_object_traceback(thing)
assert traceback[-1].lineno == 5, traceback
snapshot = tm.take_snapshot()
assert snapshot.compare_to(snapshot, "traceback") and snapshot.filter_traces([tm.Filter(True, sys._getframe().f_code.co_filename)]).traces
snapshot.dump("snapshot")
assert tm.Snapshot.load("snapshot").traces == snapshot.traces
print("fine")
"""

tm.start(5)
mine = tm.take_snapshot()
for _ in range(3):
    other = interpreters.create()
    failed = interpreters.run_string(other, CODE)
    assert failed is None, failed
    interpreters.destroy(other)
assert tm.take_snapshot().compare_to(mine, "lineno")
assert tm.get_object_traceback([]) is None or tm.get_object_traceback(CODE) is None
