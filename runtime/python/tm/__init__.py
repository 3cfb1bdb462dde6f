# SPDX-License-Identifier: MIT
"""tracemalloc's interface over tm's table: `import tm as tracemalloc`."""
from tm._tm import (clear_traces, get_traceback_limit, get_traced_memory, is_tracing, reset_peak, start, stop)
from tm._classes import (BaseFilter, DomainFilter, Filter, Frame, Snapshot, Statistic, StatisticDiff, Trace, Traceback)
from tm import _tm


def get_tracemalloc_memory():
    return 0


def get_object_traceback(obj):
    found = _tm._object_frames(obj)
    return None if found is None else Traceback(found[0])


def _get_traces():
    traces = _tm._get_traces()
    import sys
    if sys.version_info < (3, 9):
        traces = [trace[:3] for trace in traces]
    return traces


def take_snapshot():
    if not is_tracing():
        raise RuntimeError("the tracemalloc module must be tracing memory allocations to take a snapshot")
    return Snapshot(_get_traces(), get_traceback_limit())
