# SPDX-License-Identifier: MIT
"""A parent that forks a worker; the worker, which inherited the parent's blocks, allocates its own and aborts.

The core is the worker's.  A reader should find its 2,000 blocks at the line marked "the leak" first, then the parent's
1,000 at the line marked "inherited": a fork copies the table with the heap.
"""
import os
import sys

inherited = [bytes(10_000) for _ in range(1000)]  # inherited

pid = os.fork()
if pid == 0:
    own = [bytes(20_000) for _ in range(2000)]  # the leak
    os.abort()
inherited.append(bytes(50_000_000))  # only here: the worker's core must not have it
os.waitpid(pid, 0)
sys.exit(0)
