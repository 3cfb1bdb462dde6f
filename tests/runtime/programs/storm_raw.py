# SPDX-License-Identifier: MIT
"""Native threads replace raw blocks without the GIL: no live block may be missing from the table, none may be too many."""
import collections
import ctypes
import sys

import raw
import table

library = raw.native(sys.argv[1])
threads, steps, keep = map(int, sys.argv[2:])
allocator = raw.allocator()
sizes = (ctypes.c_size_t * (threads * keep))()
blocks = (ctypes.c_void_p * (threads * keep))()
before = collections.Counter(raw.unknown_sizes())
assert not library.native_storm(ctypes.byref(allocator), threads, steps, keep, sizes, blocks)
found = collections.Counter(raw.unknown_sizes())
expected = collections.Counter(sizes)
found.subtract(before)
# By address: the interpreter may meanwhile have freed blocks of its own that no Python code had asked for (3.14).
missing = sum(table.size_at(block) != size for block, size in zip(blocks, sizes))
extra = found - expected
table.check_totals()
free = raw.functions()[3]
for block in blocks:
    free(block)
left = collections.Counter(raw.unknown_sizes()) - before
table.check_totals()
print('{"missing": %d, "extra": %d, "left": %d, "lost": %d, "live": %d}' % (
    missing, sum(extra.values()), sum(left.values()), table.state("lost"), threads * keep))
