# SPDX-License-Identifier: MIT
"""The smallest leak: a list that only grows, then abort().

A reader should find 50,000 blocks of 1,033 bytes at the line marked "the leak", and a traceback of two frames:
remember, <module>.
"""
import os

seen = []


def remember(i):
    seen.append(bytes(1000))  # the leak


for i in range(50_000):
    remember(i)
os.abort()
