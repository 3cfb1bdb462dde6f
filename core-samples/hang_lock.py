# SPDX-License-Identifier: MIT
"""Two threads wait for each other's lock for ever, each with a buffer in its hands; a watchdog aborts after a second.

A reader should find the two buffers at the line marked "the leak", 32 MiB each.  With --wait there is no watchdog: the
process prints its pid and hangs, for somebody who wants to attach to it.
"""
import os
import sys
import threading

accounts = {"a": threading.Lock(), "b": threading.Lock()}
both_hold_one = threading.Barrier(2)


def transfer(source, target):
    buffer = bytearray(32 << 20)  # the leak
    with accounts[source]:
        both_hold_one.wait()
        with accounts[target]:
            del buffer


threads = [threading.Thread(target=transfer, args=pair, daemon=True) for pair in ("ab", "ba")]
for thread in threads:
    thread.start()
if "--wait" in sys.argv:
    print(os.getpid(), flush=True)
else:
    threads[0].join(1)
    os.abort()
threads[0].join()
