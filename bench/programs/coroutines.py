# SPDX-License-Identifier: MIT
"""Fibonacci by coroutines that await one another, and a chain of them deeper than a traceback."""

REPEAT = 44


async def fibonacci(n):
    if n <= 1:
        return n
    return await fibonacci(n - 1) + await fibonacci(n - 2)


async def deep(depth, n):
    if depth:
        return await deep(depth - 1, n)
    return await fibonacci(n)


def finish(coroutine):
    while True:
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value


def run():
    assert finish(fibonacci(21)) == 10946
    for _ in range(10):
        assert finish(deep(60, 16)) == 987
