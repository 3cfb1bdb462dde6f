# SPDX-License-Identifier: MIT
"""Questions are asked while finalizers run Python code, and others stop and clear: nobody may wait for ever."""
import gc
import threading
import time

import tm
from tm import _tm


class Slow:
    """While the collector waits in one's finalizer, nobody else may collect: so only so many are made, or it would have
    more to do after each wait than before."""

    alive = 0

    def __init__(self):
        self.me = self
        Slow.alive += 1

    def __del__(self):
        Slow.alive -= 1
        if not done:
            time.sleep(0)
            for _ in range(200):
                bytes(10)


def ask():
    while not done:
        for _ in range(20 if Slow.alive < 100 else 0):
            Slow()
        try:
            tm.take_snapshot().statistics("traceback")
        except RuntimeError:
            pass  # not tracing: it was stopped at this moment
        tm.get_object_traceback(ask)


def collect():
    while not done:
        if Slow.alive < 100:
            Slow()
        gc.collect()
        time.sleep(0.0005)


done = False
gc.set_threshold(5, 2, 2)
threads = [threading.Thread(target=target) for target in (ask, ask, collect)]
for thread in threads:
    thread.start()
end = time.monotonic() + 2
rounds = 0
while time.monotonic() < end or rounds < 5:
    tm.clear_traces()
    rounds += 1
    if rounds % 5 == 0:
        try:
            _tm.stop()
        finally:
            _tm.start(5)
done = True
for thread in threads:
    thread.join()
print('{"rounds": %d}' % rounds)
