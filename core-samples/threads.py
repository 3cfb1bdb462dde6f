# SPDX-License-Identifier: MIT
"""Eight threads allocate, free, and hand blocks to one another; one dies with SIGSEGV while the others are at it.

A reader should find most memory at the line marked "the leak": 8 x 2,000 blocks that only their threads' lists hold.
The mailboxes are in motion at the moment of death, so their line's numbers differ from run to run.
"""
import collections
import ctypes
import os
import threading

THREADS = 8
BLOCKS = 2000
mailboxes = [collections.deque(maxlen=100) for _ in range(THREADS)]
kept = [[] for _ in range(THREADS)]
all_kept = threading.Barrier(THREADS)


def work(me):
    for i in range(BLOCKS):
        kept[me].append(os.urandom(4000))  # the leak
        mailboxes[(me + 1) % THREADS].append("x" * (i % 100))
    all_kept.wait()
    while True:
        mailboxes[(me + 1) % THREADS].append("y" * 50)
        if mailboxes[me]:
            mailboxes[me].popleft()
        if me == 3 and len(kept[0]) == BLOCKS:
            ctypes.string_at(0)


for me in range(THREADS):
    threading.Thread(target=work, args=(me,), daemon=True).start()
threading.Event().wait()
