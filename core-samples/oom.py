# SPDX-License-Identifier: MIT
"""Runs into a memory limit, as a process in a small container does: MemoryError, then abort().

A reader should find megabyte blocks at the line marked "the leak", about as many as the limit has megabytes; nothing
of the one that failed.  The table itself may be refused memory under the limit: `tm info` counts that as lost.
"""
import os
import resource

LIMIT = 512 << 20
resource.setrlimit(resource.RLIMIT_AS, (LIMIT, resource.getrlimit(resource.RLIMIT_AS)[1]))

rows = []
try:
    while True:
        rows.append(bytearray(1 << 20))  # the leak
except MemoryError:
    os.write(2, b"MemoryError\n")
    os.abort()
