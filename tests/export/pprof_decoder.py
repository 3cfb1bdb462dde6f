# SPDX-License-Identifier: MIT
"""Decodes pprof's profiles by the public description of the format: nothing of what wrote them is used here."""
import gzip


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """(number, value) of a message: integers, and bytes for whatever has a length."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            value = value - (1 << 64) if value >> 63 else value
        else:
            assert kind == 2, "a field of kind %d" % kind
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
            assert len(value) == size
        yield number, value


def _packed(data):
    at, values = 0, []
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values


class Profile:
    def __init__(self, compressed):
        self.samples, self.strings, self.types, self.comments = [], [], [], []
        self.locations, self.functions, self.mappings, self.single = {}, {}, {}, {}
        for number, value in fields(gzip.decompress(compressed)):
            if number == 1:
                self.types.append(dict(fields(value)))
            elif number == 2:
                sample = dict(fields(value))
                self.samples.append((_packed(sample[1]), _packed(sample[2])))
            elif number == 3:
                self._add(self.mappings, dict(fields(value)))
            elif number == 4:
                self._add(self.locations, dict(fields(value)))
            elif number == 5:
                self._add(self.functions, dict(fields(value)))
            elif number == 6:
                self.strings.append(value.decode())
            elif number == 13:
                self.comments += _packed(value)
            else:
                self.single[number] = value

    @staticmethod
    def _add(table, entry):
        assert entry[1] > 0 and entry[1] not in table, "an id that is 0 or not unique"
        table[entry[1]] = entry

    def string(self, number):
        return self.strings[number]

    def frame(self, location):
        """(system name, file, line)"""
        entry = self.locations[location]
        assert entry[2] in self.mappings
        line = dict(fields(entry[4]))
        function = self.functions[line[1]]
        return self.string(function.get(3, 0)), self.string(function.get(4, 0)), line.get(2, 0)
