# SPDX-License-Identifier: MIT
"""The classes of the interface.

They are the running version's own, so that they print, compare and fail as there.  What differs: those that make others
make ours, frames know their function, and a snapshot's questions are answered by the engine.
"""
import pickle
import sys
from collections.abc import Iterable
from types import ModuleType

from tm import _tm


def _import_stdlib():
    """The standard library's module, whose classes ours are made of."""
    try:
        import tracemalloc
    except ImportError:
        # CPython 3.13: "module _tracemalloc does not support loading in subinterpreters".  Its classes do not need it.
        nothing = ModuleType("_tracemalloc")
        nothing._get_object_traceback = nothing._get_traces = None
        sys.modules["_tracemalloc"] = nothing
        import tracemalloc

        del sys.modules["_tracemalloc"], sys.modules["tracemalloc"]
    return tracemalloc


_stdlib = _import_stdlib()
BaseFilter = _stdlib.BaseFilter
DomainFilter = _stdlib.DomainFilter
Filter = _stdlib.Filter
Statistic = _stdlib.Statistic
StatisticDiff = _stdlib.StatisticDiff

# The order of enum tm_group (reader/statistics.h).
_GROUPS = {"lineno": 0, "filename": 1, "traceback": 3}


class Frame(_stdlib.Frame):
    """One frame of a traceback.  filename: str; lineno: int, 0 if unknown; name: see there."""

    __slots__ = ()

    @property
    def name(self):
        """The function's name, qualified ("Class.method") from Python 3.11 on; None if unknown.

        It is no part of comparisons, nor of what repr() and str() show.  None for a whole file, and for a snapshot that
        came from a file.
        """
        return getattr(self._frame, "name", None)


class Traceback(_stdlib.Traceback):
    """A sequence of Frame, the oldest first.  str() is its first item.

    total_nframe: frames that there were when the block was allocated, which may be more than were kept; None if unknown.
    """

    __slots__ = ()

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(map(Frame, self._frames[index]))
        return Frame(self._frames[index])

    def format(self, limit=None, most_recent_first=False):
        """The traceback as a list of lines without newlines, with source lines where linecache finds them.

        limit: only the newest limit frames; if negative, only the oldest abs(limit).
        """
        return _tm._untraced(super().format, limit, most_recent_first)


class Trace(_stdlib.Trace):
    """One block.  size: bytes; domain: int, 0 for Python's own allocators; traceback: Traceback."""

    __slots__ = ()

    @property
    def traceback(self):
        return Traceback(*self._trace[2:])


class _Traces(_stdlib._Traces):
    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(map(Trace, self._traces[index]))
        return Trace(self._traces[index])


# ---- the engine ---------------------------------------------------------------------------------------------------------


def engine():
    """The extension module tm._engine, told of our classes."""
    global _engine
    if _engine is None:
        try:
            __import__("tm._engine")
        except ImportError as error:
            raise ImportError("tm cannot take snapshots: its extension tm._engine is missing (%s)" % error) from None
        module = sys.modules["tm._engine"]
        known = (
            getattr(_stdlib.Traceback, "__slots__", None) in (("_frames",), ("_frames", "_total_nframe"))
            and getattr(Statistic, "__slots__", None) == ("traceback", "size", "count")
            and getattr(StatisticDiff, "__slots__", None) == ("traceback", "size", "size_diff", "count", "count_diff")
        )
        module.setup(_tm.frame, Traceback, Statistic, StatisticDiff, not known)
        _engine = module
    return _engine


_engine = None


def _capture_of(traces):
    """The traces as the engine knows them; None if they are too odd for it."""
    if isinstance(traces, engine().Capture):
        return traces
    return engine().group(traces)


def _specification(trace_filter):
    """A filter as the engine wants it; None if only its own code knows what it means."""
    domain = trace_filter.domain
    if type(trace_filter) is DomainFilter:
        if type(domain) is not int or not 0 <= domain < 1 << 32:
            return None
        return (bool(trace_filter.inclusive), False, domain, None, None)
    if type(trace_filter) is not Filter:
        return None
    lineno = trace_filter.lineno
    if domain is not None and (type(domain) is not int or not 0 <= domain < 1 << 32):
        return None
    if lineno is not None and (type(lineno) is not int or not 0 <= lineno < 1 << 32):
        return None

    def match(filename):
        return trace_filter._match_frame_impl(filename, lineno)

    return (bool(trace_filter.inclusive), bool(trace_filter.all_frames), domain, match, lineno)


# ---- snapshots ----------------------------------------------------------------------------------------------------------


class Snapshot(_stdlib.Snapshot):
    """Live blocks at one moment.

    traces: a sequence of Trace, made as they are asked for.  traceback_limit: frames of each that were kept.
    """

    def __init__(self, traces, traceback_limit):
        self.traces = _Traces(traces)
        self.traceback_limit = traceback_limit

    def statistics(self, key_type, cumulative=False):
        """Blocks grouped by "filename", "lineno" or "traceback": a list of Statistic, the biggest first.

        cumulative: a block counts for every frame of its traceback; not with "traceback".  ValueError for anything else.
        """
        return _tm._untraced(self._statistics, key_type, cumulative)

    def _statistics(self, key_type, cumulative):
        _check(key_type, cumulative)
        capture = _capture_of(self.traces._traces)
        if capture is None:
            return [_ours(statistic) for statistic in super().statistics(key_type, cumulative)]
        return capture.statistics(_GROUPS[key_type], bool(cumulative))

    def compare_to(self, old_snapshot, key_type, cumulative=False):
        """What has changed since an older snapshot: a list of StatisticDiff, the biggest change first.

        key_type and cumulative: as for statistics().
        """
        return _tm._untraced(self._compare_to, old_snapshot, key_type, cumulative)

    def _compare_to(self, old_snapshot, key_type, cumulative):
        _check(key_type, cumulative)
        new = _capture_of(self.traces._traces)
        old = _capture_of(old_snapshot.traces._traces) if isinstance(old_snapshot, _stdlib.Snapshot) else None
        if new is None or old is None:
            return [_ours(difference) for difference in super().compare_to(old_snapshot, key_type, cumulative)]
        return new.compare(old, _GROUPS[key_type], bool(cumulative))

    def filter_traces(self, filters):
        """A new Snapshot of those blocks that the filters let through.

        filters: Filter and DomainFilter.  If there are inclusive ones, one of them must match; no exclusive one may.
        Without filters, a copy.  TypeError if filters cannot be iterated over.
        """
        return _tm._untraced(self._filter_traces, filters)

    def _filter_traces(self, filters):
        traces = self.traces._traces
        if filters and isinstance(filters, Iterable):
            filters = list(filters)
            specifications = [isinstance(item, BaseFilter) and _specification(item) for item in filters]
            capture = all(specifications) and _capture_of(traces)
            if capture:
                if capture is traces:
                    return Snapshot(capture.filter(specifications), self.traceback_limit)
                return Snapshot(capture.select(traces, specifications), self.traceback_limit)
        snapshot = super().filter_traces(filters)
        return Snapshot(snapshot.traces._traces, snapshot.traceback_limit)

    def dump(self, filename):
        """Write the snapshot into a file that tracemalloc.Snapshot.load() reads, too: a pickle."""
        _tm._untraced(_dump, self, filename)

    @staticmethod
    def load(filename):
        """Read a snapshot that dump() wrote, or tracemalloc's own.

        Warning: such a file is a pickle.  Loading one that somebody else may have written runs whatever code that
        somebody put into it.  `tm dump` writes files that are safe to pass on.
        """
        with open(filename, "rb") as file:
            return _tm._untraced(_Unpickler(file).load)


def _check(key_type, cumulative):
    """Raises what this version's tracemalloc raises."""
    _stdlib.Snapshot([], 1).statistics(key_type, cumulative)


def _ours(statistic):
    """A Statistic or StatisticDiff of tracemalloc's own code, with our Traceback."""
    statistic.traceback = Traceback(statistic.traceback._frames[::-1])
    return statistic


# ---- files --------------------------------------------------------------------------------------------------------------


def _plain(traces):
    """The traces as plain tuples.  One object for equal tracebacks, so that they are written once."""
    frames_of = {}
    for trace in traces:
        frames = trace[2]
        if id(frames) not in frames_of:
            # The tuple goes along, to keep its id its own.
            frames_of[id(frames)] = frames, tuple((frame[0], frame[1]) for frame in frames)
        yield (*trace[:2], frames_of[id(frames)][1], *trace[3:])


def _pickled(pickler, value):
    """The operations that push a value, without the frame around them."""
    file = pickler.file
    file.seek(0)
    file.truncate()
    pickler.dump(value)
    return file.getvalue()[2:-1]  # PROTO and its argument; STOP


class _Pickler(pickle.Pickler):
    """Writes values into memory; protocol 3 has no framing that would have to be taken apart."""

    def __init__(self):
        import io

        self.file = io.BytesIO()
        super().__init__(self.file, 3)


def _dump(snapshot, filename):
    """What pickle.dump() writes for a tracemalloc.Snapshot.

    The classes are written by name: pickle insists on finding them under theirs, and after install() it would not.
    """
    pickler = _Pickler()
    make = b"ctracemalloc\n%s\n)\x81"  # GLOBAL, EMPTY_TUPLE, NEWOBJ
    others = dict(vars(snapshot))
    traces = others.pop("traces")
    with open(filename, "wb") as file:
        # The last b is BUILD: it puts a state into an object.
        file.write(b"\x80\x03" + make % b"Snapshot")
        file.write(_pickled(pickler, others) + b"b")
        file.write(b"}" + _pickled(pickler, "traces") + make % b"_Traces")
        file.write(_pickled(pickler, {"_traces": list(_plain(traces._traces))}) + b"bsb.")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if module == "tracemalloc":
            return getattr(sys.modules[__name__], name, None) or getattr(_stdlib, name)
        return super().find_class(module, name)
