# SPDX-License-Identifier: MIT
"""Makes tracemalloc's table grow, and shrink again; GDB stops it in between (stop_in_rehash.py)."""


def make(count):
    return [bytes(50 + i % 300) for i in range(count)]


keep = [make(500) for _ in range(100)]
keep.clear()
