# SPDX-License-Identifier: MIT
"""Crashes inside C code that Python called, in the midst of sorting: SIGSEGV, with frames of Python and of C above one another.

A reader should find 3,000 blocks of 20 KB at the line marked "the leak". The crash itself is a comparison that reads
address 8, four Python frames deep.
"""
import ctypes

pages = []


class Row:
    def __init__(self, number):
        self.number = number
        self.page = bytes(20_000)  # the leak

    def __lt__(self, other):
        if self.number == 2_500:
            ctypes.string_at(8)
        return self.number < other.number


for i in range(3_000):
    pages.append(Row(i))
pages.sort()
