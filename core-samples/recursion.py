# SPDX-License-Identifier: MIT
"""A recursion 5,000 calls deep, a block at each depth, abort() at the bottom.

A reader should find 5,000 blocks at the line marked "the leak".  By traceback they differ in their oldest frames, of
which `tm run -n 25` shows the newest 25: all but the last few look alike.
"""
import os
import sys
import threading

DEPTH = 5000


def descend(depth):
    block = bytes(2000)  # the leak
    if depth == DEPTH:
        os.abort()
    descend(depth + 1)
    return block


sys.setrecursionlimit(DEPTH + 1000)
threading.stack_size(256 << 20)
thread = threading.Thread(target=descend, args=(1,))
thread.start()
thread.join()
