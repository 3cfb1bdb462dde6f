# SPDX-License-Identifier: MIT
"""Snapshots in some threads while others allocate, and start and stop: nobody waits for ever, nobody is lost."""
import sys
import threading
import time

import tm

SECONDS = float(sys.argv[1])
sys.setswitchinterval(1e-5)
end = time.time() + SECONDS
done = {"snapshots": 0, "stops": 0, "made": 0}
failures = []


class Finalized:
    def __del__(self):
        # Runs wherever the collector does, which on old versions is in the middle of an answer.
        done["made"] += 1
        [object() for _ in range(10)]


def guarded(function):
    def run():
        try:
            while time.time() < end:
                function()
        except Exception as error:  # reported below
            failures.append(repr(error))

    return threading.Thread(target=run, daemon=True)


def make():
    for _ in range(50):
        thing = Finalized()
        thing.self = thing


def ask():
    try:
        snapshot = tm.take_snapshot()
    except RuntimeError as error:
        assert "must be tracing" in str(error), error
        return
    snapshot.statistics("traceback")
    snapshot.filter_traces([tm.Filter(True, __file__)]).compare_to(snapshot, "lineno")
    len(list(snapshot.traces))
    done["snapshots"] += 1


def restart():
    tm.stop()
    tm.start(7)
    tm.clear_traces()
    done["stops"] += 1
    time.sleep(0.001)


tm.start(5)
threads = [guarded(function) for function in (make, ask, ask, restart)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(SECONDS + 30)
    assert not thread.is_alive(), "hangs"
assert not failures, failures
assert min(done.values()) > 0, done
