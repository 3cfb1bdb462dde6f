# SPDX-License-Identifier: MIT
"""Generators that are thrown into before they start: their first instruction is run by a frame that tracebacks hide, and
then counts as the generator's own, which they show."""


def generator(n):
    yield n


async def coroutine(n):
    return n


def throw_before_start(n):
    made = generator(n)
    try:
        made.throw(ValueError, ValueError(str(n)))
    except ValueError as error:
        return error.__traceback__


def close_before_start(n):
    made = coroutine(n)
    try:
        made.throw(ValueError(str(n)))
    except ValueError:
        pass
    return [generator(i) for i in range(3)]


def deeper(depth, n):
    if depth:
        return deeper(depth - 1, n)
    return throw_before_start(n), close_before_start(n)


kept = []
for n in range(20000):
    kept.append(deeper(n % 40, n))
    if n % 100 == 0:
        kept.clear()
print('"done"')
