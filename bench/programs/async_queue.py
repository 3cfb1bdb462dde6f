# SPDX-License-Identifier: MIT
"""Producers, workers and a bounded queue: requests parsed, answered and joined."""
import asyncio

REPEAT = 6


async def produce(queue, first, count):
    for i in range(first, first + count):
        await queue.put(("GET /item/%d?page=%d HTTP/1.1" % (i, i % 10)).encode())


async def serve(queue, answers):
    while True:
        request = await queue.get()
        method, target, _ = request.decode().split()
        path, _, query = target.partition("?")
        headers = {"Content-Type": "text/plain", "X-Path": path}
        body = "%s %s %s" % (method, path, dict([query.split("=")]))
        answers.append("\r\n".join("%s: %s" % header for header in headers.items()) + body)
        if len(answers) > 100:
            answers.clear()
        queue.task_done()


async def main():
    queue = asyncio.Queue(20)
    answers = []
    workers = [asyncio.ensure_future(serve(queue, answers)) for _ in range(5)]
    await asyncio.gather(*[produce(queue, i * 10000, 1500) for i in range(8)])
    await queue.join()
    for worker in workers:
        worker.cancel()


def run():
    asyncio.run(main())
