# SPDX-License-Identifier: MIT
"""Core files made by hand, of every odd shape, and where the table lies in those that others made."""
import struct

PAGE = 4096
ROOT_MAGIC = b"\x89tm trace root\r\n"
CHUNK_MAGIC = b"\xabtmchunk"
PT_LOAD, PT_NOTE = 1, 4
PN_XNUM = 0xFFFF


def chunks(image):
    """(offset, kind, address, bytes) of each chunk of an undamaged table file."""
    at = PAGE
    while at < len(image):
        magic, kind, _, address, size = struct.unpack_from("<8sIIQQ", image, at)
        assert magic == CHUNK_MAGIC and size, hex(at)
        yield at, kind, address, size
        at += size


class Segment:
    def __init__(self, address, data, memory=None, flags=6):
        self.address, self.data, self.flags = address, data, flags
        self.memory = len(data) if memory is None else memory


def segments_of(image):
    """The segments of a core of the process that the table file is of."""
    (root,) = struct.unpack_from("<Q", image, 24)
    yield Segment(root, image[:PAGE])
    for at, _, address, size in chunks(image):
        yield Segment(address, image[at : at + size])


def write_core(path, segments, order="<", bits=2, notes=True, xnum=None, machine=62):
    """order: of the ELF header.  xnum: the true number of segments stands in section header 0 (PN_XNUM, elf(5))."""
    segments = sorted(segments, key=lambda segment: segment.address)
    count = len(segments) + bool(notes)
    many = xnum if xnum is not None else count >= PN_XNUM
    at = 64 + 56 * count
    note = struct.pack("<III8s", 5, 336, 1, b"CORE\0\0\0\0") + bytes(336) if notes else b""
    headers = []
    if notes:
        headers.append(struct.pack(order + "IIQQQQQQ", PT_NOTE, 0, at, 0, 0, len(note), 0, 4))
        at += len(note)
    at = -(-at // PAGE) * PAGE
    first = at
    for segment in segments:
        headers.append(
            struct.pack(
                order + "IIQQQQQQ", PT_LOAD, segment.flags, at, segment.address, 0, len(segment.data), segment.memory, PAGE
            )
        )
        at += -(-len(segment.data) // PAGE) * PAGE
    header = struct.pack(
        order + "4sBBBBQHHIQQQIHHHHHH",
        b"\x7fELF", bits, 1 if order == "<" else 2, 1, 0, 0,
        4, machine, 1, 0, 64, at if many else 0, 0, 64, 56, PN_XNUM if many else count, 64, 1 if many else 0, 0,
    )  # fmt: skip
    with open(path, "wb") as out:
        out.write(header + b"".join(headers) + note)
        out.seek(first)
        for segment in segments:
            start = out.tell()
            if any(segment.data):
                out.write(segment.data)
            out.seek(start + -(-len(segment.data) // PAGE) * PAGE)
        if many:
            out.write(struct.pack(order + "IIQQQQIIQQ", 0, 0, 0, 0, 0, count, 0, count, 0, 0))
        else:
            out.truncate()
    return path


def loads(core):
    """(address, offset, bytes in the file) of each PT_LOAD of a little-endian core."""
    with open(core, "rb") as file:
        header = file.read(64)
        at, size, count = struct.unpack_from("<Q", header, 32)[0], *struct.unpack_from("<HH", header, 54)
        file.seek(at)
        table = file.read(size * count)
    for i in range(count):
        kind, _, offset, address, _, in_file, _, _ = struct.unpack_from("<IIQQQQQQ", table, i * size)
        if kind == PT_LOAD and in_file:
            yield address, offset, in_file


def table_in(path):
    """[(offset, bytes, kind)] of roots (kind 0) and chunks in a core or a table file."""
    with open(path, "rb") as file:
        image = file.read()
    if image.startswith(ROOT_MAGIC):
        return [(0, PAGE, 0)] + [(at, size, kind) for at, kind, _, size in chunks(image)]
    found = []
    for address, offset, size in loads(path):
        for at in range(offset, min(offset + size, len(image)), PAGE):
            if image.startswith(ROOT_MAGIC, at):
                (itself,) = struct.unpack_from("<Q", image, at + 24)
                if itself == address + at - offset:
                    found.append((at, PAGE, 0))
            elif image.startswith(CHUNK_MAGIC, at):
                kind, _, itself, length = struct.unpack_from("<IIQQ", image, at + 8)
                if itself == address + at - offset:
                    found.append((at, length, kind))
    return found
