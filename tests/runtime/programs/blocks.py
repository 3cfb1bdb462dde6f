# SPDX-License-Identifier: MIT
"""Blocks of all kinds and what becomes of them: each function is a test, named on the command line."""
import ctypes
import sys
import sysconfig

import raw
import table
from tm import _tm

PREFIXES = ("PyMem_Raw", "PyMem_", "PyObject_")
WITHOUT_GIL = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def sizes_of(*names):
    """Sizes of the live blocks that functions of these names allocated, but for the ints that ctypes makes of addresses."""
    return sorted(size for domain, size, frames, depth in table.traces()
                  if frames[0][2].rpartition(".")[2] in names and size != sys.getsizeof(1 << 40))


def once():
    """A large block goes through two of our hooks, an object's into the raw one: it is traced once."""
    def once_made():
        return [bytes(100000 + i) for i in range(50)]
    kept = once_made()
    found = [size for size in sizes_of("once_made", "<listcomp>") if size >= 100000]
    assert sorted(found) == [sys.getsizeof(made) for made in kept], found
    del kept
    assert not [size for size in sizes_of("once_made", "<listcomp>") if size >= 100000]


def big():
    """Sizes that need 32 bits and more: made, moved, freed, in each domain.

    Without the GIL in the raw one alone: in the others mimalloc moves a block by copying it, 5 GiB here.
    """
    sizes = [(1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, 5 << 30]

    def found():
        return sorted(trace[1] for trace in table.traces() if trace[1] > 1 << 30)
    for prefix in PREFIXES[:1] if WITHOUT_GIL else PREFIXES:
        malloc, calloc, realloc, free = raw.functions(prefix)
        blocks = [calloc(1, size) for size in sizes]
        if None in blocks:
            return "no memory"
        assert found() == sizes
        table.check_totals()
        grown = realloc(blocks.pop(), 6 << 30)
        assert grown
        shrunk = realloc(blocks.pop(3), 100)
        assert shrunk
        assert found() == sizes[:3] + sizes[4:-1] + [6 << 30]
        table.check_totals()
        for block in blocks + [grown, shrunk]:
            free(block)
        assert not found()
        # The neighbouring slot, too, is free for others.
        kept = [malloc(48) for _ in range(1000)]
        for block in kept:
            free(block)
        table.check_totals()


def far_apart():
    """Blocks whose leaves of the address map have one place among those that the runtime remembers (map.h)."""
    size = (1 << 30) - 64  # with glibc's header a mapping of 1 GiB, and the next one begins where it ends
    malloc, calloc, realloc, free = raw.functions("PyMem_")
    blocks = [calloc(1, size) for _ in range(4)]
    if None in blocks:
        return "no memory"
    if not WITHOUT_GIL:  # its own allocator puts them elsewhere, and nothing is remembered
        assert len({block >> 22 & 255 for block in blocks}) < len(blocks), blocks
    for smaller in range(1, 200):
        blocks = [realloc(block, size - smaller - i) for i, block in enumerate(blocks)]
        assert None not in blocks
    assert sorted(trace[1] for trace in table.traces() if trace[1] > 1 << 29) == [size - 202, size - 201, size - 200, size - 199]
    table.check_totals()
    for block in blocks[::2] + blocks[1::2]:
        free(block)
    assert not [trace for trace in table.traces() if trace[1] > 1 << 29]
    table.check_totals()


def realloc_fails():
    """The old block is still there, and so is its trace."""
    for prefix in PREFIXES:
        malloc, calloc, realloc, free = raw.functions(prefix)

        def fails_made(size):
            return malloc(size)
        for size in (47, 4001, 400001):
            block = fails_made(size)
            assert sizes_of("fails_made").count(size) == 1
            before = _tm.get_traced_memory()[0]
            assert realloc(block, 1 << 62) is None
            assert abs(_tm.get_traced_memory()[0] - before) < 1000
            assert sizes_of("fails_made").count(size) == 1
            free(block)
            assert size not in sizes_of("fails_made")
    table.check_totals()


def realloc_moves():
    """A block that is reallocated belongs to where that happened, with its new size."""
    for prefix in PREFIXES:
        malloc, calloc, realloc, free = raw.functions(prefix)

        def moves_first():
            return malloc(101)

        def moves_then(block, size):
            return realloc(block, size)
        block = moves_first()
        assert 101 in sizes_of("moves_first")
        for size in (51, 103, 5003, 500003, 11, 0, 77):
            block = moves_then(block, size)
            assert 101 not in sizes_of("moves_first")
            assert sizes_of("moves_then").count(size) == 1
        free(block)
        assert 77 not in sizes_of("moves_then")
        block = moves_then(None, 31)
        assert sizes_of("moves_then").count(31) == 1
        free(block)
        assert 31 not in sizes_of("moves_then")
        table.check_totals()


def tiny():
    """Blocks of 0 to 16 bytes, from malloc and calloc, in each domain."""
    for prefix in PREFIXES:
        malloc, calloc, realloc, free = raw.functions(prefix)

        def tiny_made():
            return ([malloc(size) for size in range(17)] +
                    [calloc(count, size) for count in range(6) for size in range(6)])
        blocks = tiny_made()
        expected = sorted(list(range(17)) + [count * size for count in range(6) for size in range(6)])
        made = [size for size in sizes_of("tiny_made", "<listcomp>") if size <= 25]
        assert made == expected, made
        for block, size in zip(blocks[17:], [count * size for count in range(6) for size in range(6)]):
            assert ctypes.string_at(block, size) == bytes(size)
        for block in blocks:
            free(block)
        assert not [size for size in sizes_of("tiny_made", "<listcomp>") if size <= 25]
    table.check_totals()


def clear():
    """clear_traces() forgets all, and what is freed afterwards is not missed."""
    kept = [bytes(1000) for _ in range(1000)]
    assert _tm.get_traced_memory()[0] > 1000000
    _tm.clear_traces()
    live, peak = _tm.get_traced_memory()
    assert live < 100000 and peak < 100000
    assert _tm._get_object_traceback(kept[0]) is None
    assert _tm.is_tracing()
    del kept
    assert -1 < _tm.get_traced_memory()[0] < 100000
    made = bytes(2000)
    assert _tm._get_object_traceback(made)
    table.check_totals()
    _tm.stop()
    assert _tm._get_object_traceback(made) is None and table.traces() == [] and _tm.get_traced_memory() == (0, 0)


def twice():
    """Started twice, and around the standard library's tracemalloc: one record for each block."""
    import tracemalloc
    _tm.start(7)
    assert _tm.get_traceback_limit() == 25
    tracemalloc.start(3)

    def twice_made():
        return bytes(7777)
    kept = [twice_made()]
    _tm.stop()
    kept.append(twice_made())
    assert tracemalloc.get_object_traceback(kept[1])
    _tm.start(4)
    kept.append(twice_made())
    assert _tm.get_traceback_limit() == 4

    def large():
        return [size for size in sizes_of("twice_made") if size > 7777]  # without tracemalloc's own tables
    assert large() == [sys.getsizeof(kept[2])]
    assert len(_tm._get_object_traceback(kept[2])[0]) == 3
    assert _tm._get_object_traceback(kept[0]) is None
    tracemalloc.stop()
    kept.append(twice_made())
    assert len(large()) == 2
    del kept
    assert large() == []
    table.check_totals()


def foreign():
    """Blocks of other domains: any address, tracked twice, untracked twice; and the table of those that went is reused."""
    def foreign_made(domain, address, size):
        _tm._track(domain, address, size)

    def found():
        return sorted((trace[0], trace[1]) for trace in table.traces() if trace[2] and
                      trace[2][0][2].endswith("foreign_made"))
    addresses = [0, 1, 7, 1 << 47, (1 << 64) - 1, 0xdeadbeef]
    for domain in (0, 1, 389047, (1 << 32) - 1):
        for address in addresses:
            foreign_made(domain, address, 10)
            foreign_made(domain, address, 1 << 40)
    assert found() == sorted((domain, 1 << 40) for domain in (0, 1, 389047, (1 << 32) - 1) for _ in addresses)
    table.check_totals()
    for domain in (0, 1, 389047, (1 << 32) - 1):
        for address in addresses:
            _tm._untrack(domain, address)
            _tm._untrack(domain, address)
    assert found() == []
    table.check_totals()
    for i in range(1000):
        foreign_made(5, i, i)
    before = table.state("table_bytes")
    for i in range(300000):
        _tm._track(5, 1000 + i * 16, 1)
        _tm._untrack(5, 1000 + i * 16)
    assert table.state("table_bytes") - before < 4 << 20, "blocks that came and went: the table grew by %d" % (
        table.state("table_bytes") - before)
    table.check_totals()


def departed():
    """Threads whose last destructors free blocks: the totals stay right."""
    library = raw.native(sys.argv[2])
    allocator = raw.allocator()
    import threading
    thread = threading.Thread(target=library.native_short_threads, args=(ctypes.byref(allocator), 3000))
    thread.start()
    kept = []
    while thread.is_alive():
        for i in range(200):
            kept.append(bytes(500 + i))
        kept.clear()
    thread.join()
    table.check_totals()


def many_sites():
    """100,000 lines, each with an allocation of its own, in 100 functions."""
    keep = []
    for number in range(100):
        source = "\n".join(["def f(keep):"] + [" keep(bytes(%d))" % (50 + i % 50) for i in range(1000)])
        namespace = {}
        exec(compile(source, "<sites %d>" % number, "exec"), namespace)
        namespace["f"](keep.append)
    for i, made in enumerate(keep):
        frame = _tm._get_object_traceback(made)[0][0]
        assert frame == ("<sites %d>" % (i // 1000), i % 1000 + 2, "f"), (i, frame)
    assert table.state("locations") > 100000
    table.check_totals()


def names():
    """File and function names of every width, undecodable ones, and one that is too long."""
    long = "é" * 70000
    for filename in ("plain.py", "é.py", "日本.py", "😀.py", "bad\udcff.py", "", "mixed é日😀\udc80", long):
        for function in ("f", "é", "日本"):
            namespace = {}
            exec(compile("\n\ndef %s():\n return bytes(321)" % function, filename, "exec"), namespace)
            made = namespace[function]()
            frame = _tm._get_object_traceback(made)[0][0]
            if filename is long:
                assert frame[0] == long[:len(frame[0])] and len(frame[0]) > 30000
                frame = (long,) + frame[1:]
            assert frame == (filename, 4, function), frame


def recursion():
    """50,000 frames."""
    import threading
    keep = {}

    def down(depth):
        if depth in (1, 24, 25, 26, 1000, 25000, 49990):
            keep[depth] = [bytes(1000)]
        if depth:
            down(depth - 1)
        if depth in (1, 24, 25, 26, 1000, 25000, 49990):
            keep[depth].append(bytes(1000))
    sys.setrecursionlimit(60000)
    threading.stack_size(1 << 29)
    thread = threading.Thread(target=down, args=(50000,))
    thread.start()
    thread.join()
    first = down.__code__.co_firstlineno
    assert len(keep) == 7
    for depth, (on_the_way_down, on_the_way_up) in keep.items():
        frames, total = _tm._get_object_traceback(on_the_way_down)[0], _tm._get_object_traceback(on_the_way_down)[1]
        recursive = min(24, 50000 - depth)
        assert [frame[1] - first for frame in frames][:recursive + 1] == [2] + [4] * recursive, frames
        frames = _tm._get_object_traceback(on_the_way_up)[0]
        assert [frame[1] - first for frame in frames][:recursive + 1] == [6] + [4] * recursive, frames
        assert recursive < len(frames) <= 25 and total >= len(frames)
    table.check_totals()


if __name__ == "__main__":
    _tm.clear_traces()
    print('{"said": "%s"}' % globals()[sys.argv[1]]())
