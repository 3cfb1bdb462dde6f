# SPDX-License-Identifier: MIT
"""The traced program of the oracle: allocates known things at known lines, writes down its own snapshot, and dies.

    usage: oracle_target.py REPORT abort|wait

REPORT gets JSON: what tm's Python API says, from inside, an instant before death.  `abort` leaves the kernel's core;
`wait` prints "ready" and stands still, to be attached to or dumped by gcore, then killed.
"""
import gc
import os
import sys

import oracle_parts
import oracle_report
import tm

report_path, ending = sys.argv[1:]
kept = oracle_parts.Everything()
report = oracle_report.before(kept)

# From here to death nothing that was allocated above may go: a collection would empty free lists.
gc.collect()
gc.disable()
# Nor may the cache of attribute lookups throw out names that only it owns (Objects/typeobject.c, _PyType_Lookup): an empty
# one has none to throw out.  From 3.13 on the function is deprecated, and says so.
if sys.version_info < (3, 13):
    sys._clear_type_cache()
report["snapshot_line"] = sys._getframe().f_lineno
report["snapshot"] = tm.take_snapshot()
oracle_report.write(report, report_path)
if ending == "abort":
    os.abort()
os.write(1, b"ready\n")
os.read(0, 1)
