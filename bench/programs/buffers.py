# SPDX-License-Identifier: MIT
"""Large short-lived buffers: files in memory, compression, slices, joins."""
import hashlib
import io
import struct
import zlib

REPEAT = 16


def run():
    for i in range(6):
        out = io.BytesIO()
        for j in range(4000):
            out.write(struct.pack("<IHd", j, j % 1000, j / 3))
        data = out.getvalue()
        blocks = [data[at:at + 4096] for at in range(0, len(data), 4096)]
        packed = [zlib.compress(block, 1) for block in blocks]
        assert b"".join(map(zlib.decompress, packed)) == data
        hashlib.sha256(data).hexdigest()
        for at in range(0, len(data) - 65536, 16384):
            piece = bytearray(data[at:at + 65536])
            piece += piece
            assert len(bytes(piece)) == 131072
        values = [struct.unpack_from("<IHd", data, at) for at in range(0, len(data) - 16, 14)]
        assert len(values) > 1000
