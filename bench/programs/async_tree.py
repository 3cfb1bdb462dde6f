# SPDX-License-Identifier: MIT
"""A tree of asyncio tasks, six to a node, that sleep for nothing at the leaves."""
import asyncio

REPEAT = 3


async def leaf(number):
    await asyncio.sleep(0)
    return str(number)


async def node(depth, number):
    if not depth:
        return len(await leaf(number))
    return sum(await asyncio.gather(*[node(depth - 1, number * 6 + i) for i in range(6)]))


def run():
    assert asyncio.run(node(5, 1)) > 7776
