# SPDX-License-Identifier: MIT
"""Forks while native threads storm through the raw allocator: each child must be able to trace, apart from its parent."""
import ctypes
import os
import signal
import sys
import time

import raw
import table
from tm import _tm

PATIENCE = 20  # seconds


def child():
    signal.alarm(PATIENCE)
    assert table.root_pid() == os.getpid()
    namespace = {}
    exec(compile("\n\ndef make():\n    return bytes(12345)\nmade = [make() for _ in range(50)]", "<child>", "exec"), namespace)
    for made in namespace["made"]:
        frame = _tm._get_object_traceback(made)[0][0]
        assert frame[:2] == ("<child>", 4), frame
    _tm.clear_traces()
    assert _tm.get_traced_memory()[0] < 100000
    made = bytes(5000)
    assert _tm._get_object_traceback(made)[0][0][0] == __file__
    _tm.stop()
    _tm.start(5)


library = raw.native(sys.argv[1])
allocator = raw.allocator()
assert not library.native_background_start(ctypes.byref(allocator), 4)
for number in range(int(sys.argv[2])):
    pid = os.fork()
    if not pid:
        status = 1
        try:
            child()
            status = 0
        finally:
            os._exit(status)
    end = time.monotonic() + 2 * PATIENCE
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            raise SystemExit("child %d hangs" % number)
        time.sleep(0.0005)
    if status:
        raise SystemExit("child %d: status %#x" % (number, status))
library.native_background_stop()
assert table.root_pid() == os.getpid()
assert not [trace for trace in table.traces() if trace[2][0][0] == "<child>"]
table.check_totals()
print('{"lost": %d}' % table.state("lost"))
