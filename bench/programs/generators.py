# SPDX-License-Identifier: MIT
"""A binary tree walked in order by recursive generators: every value passes through all frames above it."""

REPEAT = 4


class Tree:
    def __init__(self, left, value, right):
        self.left, self.value, self.right = left, value, right

    def __iter__(self):
        if self.left:
            yield from self.left
        yield self.value
        if self.right:
            yield from self.right


def build(values):
    if not values:
        return None
    middle = len(values) // 2
    return Tree(build(values[:middle]), values[middle], build(values[middle + 1:]))


def chain(depth):
    if depth:
        for value in chain(depth - 1):
            yield value + 1000
    else:
        yield from range(60)


def run():
    tree = build(range(50000))
    assert sum(1 for _ in tree) == 50000
    for _ in range(8):
        assert len(list(chain(200))) == 60
