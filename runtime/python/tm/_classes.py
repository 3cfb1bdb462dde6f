# SPDX-License-Identifier: MIT
"""The classes of the interface.  They are the running version's own, so that they print, compare and fail as they do
there; those that make other objects are told to make ours."""
import tracemalloc as _stdlib
from tracemalloc import BaseFilter, DomainFilter, Filter, Statistic, StatisticDiff


class Frame(_stdlib.Frame):
    """A frame of a traceback: filename, lineno, name."""

    __slots__ = ()

    @property
    def name(self):
        """Name of the function (qualified from CPython 3.11 on); None if unknown."""
        return getattr(self._frame, "name", None)


class Traceback(_stdlib.Traceback):
    __slots__ = ()

    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(map(Frame, self._frames[index]))
        return Frame(self._frames[index])


class Trace(_stdlib.Trace):
    __slots__ = ()

    @property
    def traceback(self):
        return Traceback(*self._trace[2:])


class _Traces(_stdlib._Traces):
    def __getitem__(self, index):
        if isinstance(index, slice):
            return tuple(map(Trace, self._traces[index]))
        return Trace(self._traces[index])


class Snapshot(_stdlib.Snapshot):
    def __init__(self, traces, traceback_limit):
        self.traces = _Traces(traces)
        self.traceback_limit = traceback_limit
