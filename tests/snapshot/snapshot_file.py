# SPDX-License-Identifier: MIT
"""Snapshot files written from docs/snapshot-format.md alone: what the reader is held against, and broken in tests."""

import ctypes
import ctypes.util
import functools
import struct

MAGIC = b"\x89tm snapshot\r\n\x1a\n"
IDENTITY, LENGTHS, BYTES, LOCATIONS, STACKS, TOTALS, FOREIGN, NOTES, BLOCKS = range(1, 10)

_zstd = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
_zstd.ZSTD_createCCtx.restype = ctypes.c_void_p
_zstd.ZSTD_CCtx_setParameter.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
_zstd.ZSTD_compress2.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
_zstd.ZSTD_compress2.restype = ctypes.c_size_t
_zstd.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
_zstd.ZSTD_compressBound.restype = ctypes.c_size_t
_context = _zstd.ZSTD_createCCtx()
_zstd.ZSTD_CCtx_setParameter(_context, 201, 1)  # ZSTD_c_checksumFlag


@functools.lru_cache(maxsize=2)  # a section may be there many times
def frame(content):
    """One zstd frame, with size and checksum."""
    room = _zstd.ZSTD_compressBound(len(content))
    buffer = ctypes.create_string_buffer(room)
    size = _zstd.ZSTD_compress2(_context, buffer, room, content, len(content))
    assert size <= room
    return buffer.raw[:size]


def assemble(sections, version=1):
    """The file: sections are (kind, element size, number of elements, content)."""
    body, directory = b"", b""
    for kind, size, count, content in sections:
        stored = frame(content)
        directory += struct.pack("<IIQQQ", kind, size, 64 + len(body), len(stored), count)
        body += stored
    directory = frame(directory)
    offset = 64 + len(body)
    header = MAGIC + struct.pack(
        "<IIQQQQQ", version, 64, offset + len(directory), offset, len(directory), len(sections), 0
    )
    return header + body + directory


class Strings:
    def __init__(self):
        self.numbers, self.items = {"": 0}, [b""]

    def number(self, text):
        if text not in self.numbers:
            self.numbers[text] = len(self.items)
            self.items.append(text.encode("utf-8", "surrogatepass"))
        return self.numbers[text]


def identity(limit, size, count, flags=1 | 4, notes=0):
    return struct.pack(
        "<16s32s64sIIIIIIQQQQQQQQ",
        b"tracemalloc", b"", b"3.12.1", 0x030C01F0, flags, 4321, limit, 0, 0, 0, 0, 0, size, count, size, 0, notes,
    )  # fmt: skip


def sections(traces, limit, blocks=False):
    """Traces as a tracemalloc.Snapshot has them: (domain, size, ((file name, line), ...) newest first, total_nframe)."""
    strings = Strings()
    locations, location_rows = {}, [(strings.number("<unknown>"), 0, 0)]
    stacks, stack_rows = {}, [(0, 0, 0)]
    totals, foreign, rows = {}, {}, []
    for address, (domain, size, frames, depth) in enumerate(traces):
        stack = 0
        for place in reversed(frames):
            if place not in locations:
                locations[place] = len(location_rows)
                location_rows.append((strings.number(place[0]), 0, place[1]))
            key = stack, locations[place]
            if key not in stacks:
                stacks[key] = len(stack_rows)
                stack_rows.append((stack, locations[place], depth))
            stack = stacks[key]
        had = totals.get(stack, (0, 0))
        totals[stack] = had[0] + size, had[1] + 1
        if domain:
            had = foreign.get((domain, stack), (0, 0))
            foreign[domain, stack] = had[0] + size, had[1] + 1
        rows.append((0x10000 + 64 * address, size, stack, domain))
    text = b"".join(strings.items)
    parts = [
        (IDENTITY, 200, 1, identity(limit, sum(row[1] for row in rows), len(rows), 1 | 4 | (8 if blocks else 0))),
        (LENGTHS, 4, len(strings.items), b"".join(struct.pack("<I", len(item)) for item in strings.items)),
        (BYTES, 1, len(text), text),
        (LOCATIONS, 12, len(location_rows), b"".join(struct.pack("<III", *row) for row in location_rows)),
        (STACKS, 12, len(stack_rows), b"".join(struct.pack("<III", *row) for row in stack_rows)),
        (TOTALS, 16, len(stack_rows), b"".join(struct.pack("<qq", *totals.get(i, (0, 0))) for i in range(len(stack_rows)))),
        (FOREIGN, 24, len(foreign), b"".join(struct.pack("<IIqq", *key, *total) for key, total in sorted(foreign.items()))),
        (NOTES, 1, 0, b""),
    ]
    if blocks and rows:
        addresses, sizes, numbers, domains = zip(*rows)
        deltas = [after - before for before, after in zip((0,) + addresses, addresses)]
        columns = b"".join(struct.pack("<%d%s" % (len(rows), letter), *column) for letter, column in (
            ("Q", deltas), ("Q", sizes), ("I", numbers), ("I", domains)))
        parts.append((BLOCKS, 24, len(rows), columns))
    return parts


def write(path, traces, limit, blocks=False):
    path.write_bytes(assemble(sections(traces, limit, blocks)))
    return path
