# SPDX-License-Identifier: MIT
"""Eight queens by permutations from a generator of our own."""

REPEAT = 3


def permutations(items):
    items = tuple(items)
    n = len(items)
    indices = list(range(n))
    cycles = list(range(n, 0, -1))
    yield items
    while True:
        for i in reversed(range(n)):
            cycles[i] -= 1
            if cycles[i] == 0:
                indices[i:] = indices[i + 1:] + indices[i:i + 1]
                cycles[i] = n - i
            else:
                j = cycles[i]
                indices[i], indices[-j] = indices[-j], indices[i]
                yield tuple(items[k] for k in indices)
                break
        else:
            return


def run():
    columns = range(8)
    found = sum(1 for rows in permutations(columns)
                if 8 == len(set(rows[i] + i for i in columns)) == len(set(rows[i] - i for i in columns)))
    assert found == 92
