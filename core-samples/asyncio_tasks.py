# SPDX-License-Identifier: MIT
"""An asyncio service whose tasks wait for an answer that never comes, each with its request in its hands; then abort().

A reader should find 2,000 buffers at the line marked "the leak", and in their traceback the coroutines that awaited one
another: read_request, handle, then asyncio's own frames.
"""
import asyncio
import os

TASKS = 2000


async def read_request():
    await asyncio.sleep(0)
    return bytearray(10_000)  # the leak


async def handle(never):
    request = await read_request()
    await never
    return request


async def main():
    never = asyncio.get_running_loop().create_future()
    tasks = [asyncio.ensure_future(handle(never)) for _ in range(TASKS)]
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in tasks)
    os.abort()


asyncio.run(main())
