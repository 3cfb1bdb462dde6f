# SPDX-License-Identifier: MIT
"""The raw allocator through ctypes, for threads of native.c and for calls of one's own (which keep the GIL)."""
import ctypes

import table


class Allocator(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("malloc", "calloc", "realloc", "free")]


def functions(prefix="PyMem_Raw"):
    """malloc(), calloc(), realloc(), free() of a domain, called without letting the GIL go."""
    api = ctypes.PyDLL(None)
    made = []
    for name, result, arguments in (("Malloc", ctypes.c_void_p, [ctypes.c_size_t]),
                                    ("Calloc", ctypes.c_void_p, [ctypes.c_size_t, ctypes.c_size_t]),
                                    ("Realloc", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]),
                                    ("Free", None, [ctypes.c_void_p])):
        function = getattr(api, prefix + name)
        function.restype = result
        function.argtypes = arguments
        made.append(function)
    return made


def allocator():
    return Allocator(*[ctypes.cast(function, ctypes.c_void_p) for function in functions()])


def native(path):
    library = ctypes.CDLL(path)  # lets the GIL go
    library.native_storm.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p,
                                     ctypes.c_void_p]
    for name in ("native_background_start", "native_short_threads"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.native_late.argtypes = [ctypes.c_void_p]
    return library


def unknown_sizes():
    """Sizes of the live blocks that belong to no Python code, sorted."""
    return sorted(size for domain, size, frames, depth in table.traces() if frames[0][0] == "<unknown>")
