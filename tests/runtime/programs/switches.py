# SPDX-License-Identifier: MIT
"""Stacks that change other than by call and return: generators, coroutines, asyncio, threads, code that comes and goes."""
import asyncio
import functools
import sys
import threading


def generators(keep, n):
    """Suspended frames that come back on top of other stacks."""
    def leaf(tag):
        for i in range(4):
            keep(tag)
            yield i

    def tree(depth):
        if depth:
            yield from tree(depth - 1)
            keep(depth)
            yield from tree(depth - 1)
        else:
            yield from leaf(depth)

    def pull(depth, source):
        if depth:
            return pull(depth - 1, source)
        keep(depth)
        return next(source, None)

    def closing():
        try:
            yield keep(1)
        except ValueError:
            yield keep(2)
        finally:
            keep(3)
    for i in range(max(1, n // 120)):
        for _ in tree(3):
            pass
        source = tree(2)
        for depth in (0, 5, 30, 2, 0, 40):
            pull(depth, source)
        one = closing()
        next(one)
        one.throw(ValueError)
        one.close()
        first, second = leaf(1), leaf(2)
        for _ in zip(first, second, leaf(3)):
            keep(i)


def unstarted(keep, n):
    """Generators and coroutines that somebody throws into, closes or drops before they ran their first instruction."""
    class Loud(Exception):
        def __init__(self):
            super().__init__(keep(1))

    def generator(x):
        keep(x)
        yield keep(2)

    async def coroutine(x):
        keep(x)

    def delegate():
        yield from generator(3)

    def deep(depth, act, thing):
        if depth:
            return deep(depth - 1, act, thing)
        try:
            return act(thing)
        except (Loud, StopIteration, RuntimeError):  # RuntimeError: a coroutine is not used twice
            keep(4)
    acts = [lambda thing: thing.throw(Loud()), lambda thing: thing.throw(Loud), lambda thing: thing.close(),
            lambda thing: thing.send(None)]
    for i in range(n // 20):
        for make in (generator, coroutine):
            thing = make(i)
            keep(5)
            for act in acts[i % 4:]:
                deep(i % 30, act, thing)
        outer = delegate()
        if i % 2:
            next(outer)
        deep(i % 28, acts[i % 3], outer)
        for Code in (generator, delegate):
            [Code(keep(6)) if Code is generator else Code() for _ in range(2)]


def recursive_generators(keep, n):
    """Deeper than any limit: the whole chain stands on the stack for each value."""
    def count(depth):
        if depth:
            for value in count(depth - 1):
                keep(value)
                yield value
        else:
            for value in range(3):
                keep(value)
                yield value
    for i in range(max(1, n // 400)):
        for _ in count(40 + i):
            keep(i)


def coroutines(keep, n):
    """Trees of coroutines deeper than the limit, driven by hand."""
    class Suspend:
        def __await__(self):
            keep(1)
            got = yield keep(2)
            return got

    async def tree(depth):
        keep(depth)
        if depth == 0:
            return await Suspend()
        await tree(depth - 1)
        keep(depth)
        if depth < 4:
            await tree(depth - 1)
        return keep(depth)

    def drive(coroutine, depth):
        if depth:
            return drive(coroutine, depth - 1)
        try:
            coroutine.send(None)
            return True
        except StopIteration:
            return False
    for i in range(max(1, n // 400)):
        coroutine = tree(30 + i % 5)
        depth = 0
        while drive(coroutine, depth):
            depth = (depth + 7) % 31


def async_io(keep, n):
    """asyncio: tasks, gather, queues, locks, async generators, async comprehensions, call_soon, executors."""
    async def numbers(count):
        for i in range(count):
            keep(i)
            yield i
            await asyncio.sleep(0)
            keep(i)

    async def worker(queue, lock):
        while True:
            item = await queue.get()
            async with lock:
                keep(item)
            queue.task_done()

    async def nested(depth):
        keep(depth)
        if depth:
            await nested(depth - 1)
        else:
            await asyncio.sleep(0)
        keep(depth)

    async def main():
        queue = asyncio.Queue(3)
        lock = asyncio.Lock()
        loop = asyncio.get_running_loop()
        workers = [asyncio.ensure_future(worker(queue, lock)) for _ in range(3)]
        for i in range(max(2, n // 30)):
            await queue.put(i)
            if i % 10 == 0:
                keep([x async for x in numbers(3)])
                await asyncio.gather(nested(3), nested(8), nested(35))
                loop.call_soon(keep, i)
        await loop.run_in_executor(None, keep, 1)
        await queue.join()
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    asyncio.run(main())


def storm(keep, n):
    """Code objects that live for a moment: eval, exec, compile, functions made and dropped."""
    namespace = {"keep": keep}
    for i in range(n // 12):
        source = "\n" * (i % 23) + "def f%d(x):\n  keep(x)\n  %s\n  return [keep(y) for y in range(2)]\nf%d(%d)" % (
            i % 5, "\n  keep(1)\n" * (i % 4) or "pass", i % 5, i)
        exec(compile(source, "<storm %d>" % (i % 97), "exec"), namespace)
        eval("keep(%d)" % i, namespace)
        eval(compile("(\nkeep(1),\n keep(2))", "<eval %d>" % i, "eval"), namespace)
        if i % 50 == 0:
            namespace = {"keep": keep}


def threads(keep, n):
    """Eight threads, each with stacks of its own, and generators that wander from one to another."""
    def numbers():
        i = 0
        while True:
            keep(i)
            yield i
            i += 1
    shared = [numbers() for _ in range(3)]
    lock = threading.Lock()

    def pull(depth):
        if depth:
            pull(depth - 1)
        else:
            with lock:
                for source in shared:
                    next(source)
        keep(depth)

    def work(number):
        for i in range(max(1, n // 300)):
            pull((number * 5 + i) % 37)
            keep(i)
    for _ in range(2):
        running = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()


def traced(keep, n):
    """Under sys.settrace and sys.setprofile: instrumented code (3.12+), callbacks on top of every frame."""
    def body(depth):
        keep(depth)
        if depth:
            body(depth - 1)
        return [keep(x) for x in range(2)]

    def on_event(frame, event, argument):
        keep(event)
        return on_event
    old = sys.gettrace(), sys.getprofile()
    for i in range(max(1, n // 300)):
        sys.settrace(on_event)
        body(i % 8)
        sys.settrace(old[0])
        sys.setprofile(on_event)
        body(i % 8)
        sys.setprofile(old[1])
        body(i % 8)


def mixed(keep, n):
    """A generator's frame below C code below a generator: sorted() inside next() inside sum() inside a method."""
    class Source:
        def __init__(self):
            self.state = self.make()

        def make(self):
            while True:
                yield sorted(range(3), key=functools.partial(self.key))

        def key(self, x):
            keep(x)
            return -x

        def __iter__(self):
            for _ in range(3):
                yield len(next(self.state))
    for _ in range(n // 15):
        sum(Source())
        sum(x for x in Source() if keep(x))


ALL = [generators, unstarted, recursive_generators, coroutines, async_io, storm, threads, traced, mixed]
