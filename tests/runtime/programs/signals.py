# SPDX-License-Identifier: MIT
"""Signals as fast as they come, whose handlers allocate."""
import signal
import sys
import time

import table
from tm import _tm


def handler(number, frame):
    kept.append(bytes(300))
    del kept[:-50]
    if len(kept) == 50:
        handled.append(_tm._get_object_traceback(kept[-1])[0][0][2])


def work(depth):
    made = [bytes(100 + depth), "x" * (60 + depth), {depth: (depth,)}]
    return work(depth - 1) if depth else made


kept = []
handled = []
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
end = time.monotonic() + float(sys.argv[1])
rounds = 0
while time.monotonic() < end:
    rounds += 1
    made = work(rounds % 50)
    frames = _tm._get_object_traceback(made[0])[0]
    assert frames[0][2] == "work" and len(frames) == min(25, rounds % 50 + 2), (frames, rounds % 50)
    if rounds % 100 == 0:
        _tm.clear_traces()
signal.setitimer(signal.ITIMER_REAL, 0)
table.check_totals()
assert set(handled) == {"handler"}
print('{"handled": %d}' % len(handled))
