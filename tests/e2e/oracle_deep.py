# SPDX-License-Identifier: MIT
"""Deep stacks and generators for oracle_parts.py."""


def descend(levels):
    if levels == 0:
        return bottom()
    if levels % 2:
        return descend(levels - 1)
    return by_another_way(levels)


def by_another_way(levels):
    return descend(levels - 1)


def bottom():
    return {"bottom": bytes(123_456)}


def generate(count):
    for i in range(count):
        yield bytearray(1000 + i)
