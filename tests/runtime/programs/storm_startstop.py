# SPDX-License-Identifier: MIT
"""start(), stop() and clear_traces() in a loop, while native threads and Python threads allocate and free."""
import ctypes
import sys
import threading
import time

import raw
import table
from tm import _tm


def allocate():
    keep = []
    while not done:
        keep.append([bytes(i) for i in range(100)])
        if len(keep) > 20:
            del keep[:15]


def recurse(depth):
    return recurse(depth - 1) if depth else [bytes(500) for _ in range(10)]


def keep_recursing():
    while not done:
        for depth in range(40):
            recurse(depth)


library = raw.native(sys.argv[1])
allocator = raw.allocator()
done = False
assert not library.native_background_start(ctypes.byref(allocator), 3)
threads = [threading.Thread(target=target) for target in (allocate, allocate, keep_recursing)]
for thread in threads:
    thread.start()
end = time.monotonic() + float(sys.argv[2])
rounds = 0
while time.monotonic() < end or rounds < 5:
    rounds += 1
    _tm.stop()
    if rounds % 3 == 0:
        time.sleep(0.001)
    _tm.start(1 + rounds % 40)
    _tm.clear_traces()
    made = bytes(1000)
    frames = _tm._get_object_traceback(made)[0]
    assert frames[0][0] == __file__ and len(frames) == 1, frames
done = True
for thread in threads:
    thread.join()
library.native_background_stop()
table.check_totals()
_tm.stop()
_tm.start(25)
table.check_totals()
frames = _tm._get_object_traceback(recurse(24)[0])[0]
assert len(frames) == 25 and frames[-1][2] == "recurse", frames
print('{"rounds": %d}' % rounds)
