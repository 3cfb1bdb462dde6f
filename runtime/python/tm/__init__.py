# SPDX-License-Identifier: MIT
"""tracemalloc, but it stays fast and can be read from outside: `import tm as tracemalloc`.

Everything that the standard library's tracemalloc has is here, with the same defaults, errors, order and text as in the
running version of Python.  On top of it: Frame.name, the function's name, and install().  Sizes are in bytes.

    import tm
    tm.start(25)
    ...
    for statistic in tm.take_snapshot().statistics("lineno")[:10]:
        print(statistic)

The classes are loaded when they are first asked for, so that a program that is only traced pays nothing for them.
"""
import sys

try:
    from tm import _tm
except ImportError as error:
    raise ImportError(
        "tm was not built for %s %s (%s): build it with `make PYTHONS=%s`, or install it with `%s -m pip install .`"
        % (sys.implementation.name, sys.version.split()[0], error, sys.executable, sys.executable)
    ) from None
from tm._tm import (
    clear_traces,
    get_traceback_limit,
    get_traced_memory,
    get_tracemalloc_memory,
    is_tracing,
    start,
    stop,
)

_CLASSES = (
    "BaseFilter",
    "DomainFilter",
    "Filter",
    "Frame",
    "Snapshot",
    "Statistic",
    "StatisticDiff",
    "Trace",
    "Traceback",
)

# What the import system asks for before it is there.
_SUBMODULES = ("_classes", "_engine", "_start", "_tm")

__all__ = [
    "clear_traces",
    "get_object_traceback",
    "get_traceback_limit",
    "get_traced_memory",
    "get_tracemalloc_memory",
    "install",
    "is_tracing",
    "reset_peak",
    "start",
    "stop",
    "take_snapshot",
    *_CLASSES,
]
__version__ = _tm.__version__

reset_peak = _tm.reset_peak  # tracemalloc has it from 3.9 on; here it works in 3.8, too


_loaded = None


def _import_classes():
    global _loaded
    __import__("tm._classes")  # `from tm import` would ask __getattr__()
    _loaded = sys.modules["tm._classes"]
    return _loaded


def _load():
    return _loaded or _tm._untraced(_import_classes)


def __getattr__(name):
    """The classes, which are loaded now; and whatever else tracemalloc has in this version of Python."""
    if name not in _SUBMODULES and not name.startswith("__"):
        classes = _load()
        for source in (classes, classes._stdlib):
            if hasattr(source, name):
                value = globals()[name] = getattr(source, name)
                return value
    raise AttributeError("module 'tm' has no attribute %r" % name)


def __dir__():
    return sorted(set(globals()) | set(__all__))


def get_object_traceback(obj):
    """Where the memory block of an object was allocated: a Traceback.

    None while not tracing, and for an object that was allocated before start() or while not tracing.
    """
    found = _tm._object_frames(obj)
    if found is None:
        return None
    return _tm._untraced(_load().Traceback, found[0])


def _get_traces():
    """All live blocks as a sequence of (domain, size, frames, total_nframe), without total_nframe in Python 3.8."""
    if not is_tracing():
        return []
    return _load().engine().capture()


def take_snapshot():
    """A Snapshot of all live blocks that were allocated while tracing.

    Takes some 10 ns a block, and 16 bytes; nothing of it appears in later snapshots.  RuntimeError while not tracing.
    """
    if not is_tracing():
        raise RuntimeError("the tracemalloc module must be tracing memory allocations to take a snapshot")
    traces = _get_traces()
    return _tm._untraced(_load().Snapshot, traces, get_traceback_limit())


def install():
    """Put tm in the place of tracemalloc, for whoever imports that from now on.

    So ResourceWarning and warnings about coroutines that were never awaited say where the object was allocated.  A
    module that imported tracemalloc before keeps the standard library's.
    """
    _load()  # which needs the standard library's, under its own name
    sys.modules["tracemalloc"] = sys.modules[__name__]
