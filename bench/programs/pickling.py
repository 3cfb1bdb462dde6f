# SPDX-License-Identifier: MIT
"""Pickle: dictionaries, objects and shared references, there and back, by C and by Python."""
import io
import pickle

REPEAT = 6


class Point:
    def __init__(self, x, y, tags):
        self.x, self.y, self.tags = x, y, tags


def run():
    shared = ["a", "b", {"c": 1.5}]
    data = {"point %d" % i: Point(i, i * 0.5, shared if i % 2 else [str(i)]) for i in range(400)}
    for _ in range(40):
        assert len(pickle.loads(pickle.dumps(data, 4))) == 400
    for _ in range(3):
        out = io.BytesIO()
        pickle._Pickler(out, 4).dump(data)
        assert len(pickle._loads(out.getvalue())) == 400
