# SPDX-License-Identifier: MIT
"""Comprehensions, generator expressions, slices, zips."""

REPEAT = 7


def primes(limit):
    sieve = [True] * limit
    for i in range(2, int(limit ** 0.5) + 1):
        if sieve[i]:
            sieve[i * i::i] = [False] * len(sieve[i * i::i])
    return [i for i in range(2, limit) if sieve[i]]


def run():
    for _ in range(3):
        size = 45
        a = [[i * j % 7 + 300 for j in range(size)] for i in range(size)]
        b = [[i + j for j in range(size)] for i in range(size)]
        product = [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]
        assert len({value for row in product for value in row}) > 50
        found = primes(60000)
        assert len([(p, q) for p, q in zip(found, found[1:]) if q - p == 2]) > 100
        triples = [(x, y, z) for x in range(1, 40) for y in range(x, 40) for z in range(y, 60) if x * x + y * y == z * z]
        assert triples[0] == (3, 4, 5)
