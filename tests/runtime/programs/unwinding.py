# SPDX-License-Identifier: MIT
"""Programs whose frames end in every way while others wait for them: by return, yield, an exception from below or from a
trace function, at any depth of the value stack; and frames that a debugger sets to another line while they wait."""
import asyncio
import random
import sys

DEEPEST = 8


class Thrown(Exception):
    pass


class Actor:
    """An object of which every use calls Python functions, which make objects, raise, or both."""

    def __init__(self, keep, seed, depth=DEEPEST):
        self.keep, self.random, self.depth = keep, random.Random(seed), depth

    def below(self, less=1):
        other = object.__new__(Actor)
        other.__dict__.update(self.__dict__, depth=self.depth - less)
        return other

    def luck(self, probability):
        return self.random.random() < probability

    def leaf(self):
        if self.luck(.35):
            self.keep()
        if self.luck(.3):
            raise Thrown
        if self.luck(.3):
            self.keep()
        return 1

    # The ways that Python functions are called without a call.

    @property
    def attribute(self):
        return self.act()

    def __getattr__(self, name):
        if name.startswith("_") or name in ("keep", "random", "depth"):
            raise AttributeError(name)
        return self.act()

    def __getitem__(self, index):
        return self.act()

    def __add__(self, other):
        return self.act()

    def __call__(self, *arguments, **named):
        return self.act()

    def __lt__(self, other):
        return bool(self.act() & 1)

    def __enter__(self):
        self.act()
        return self

    def __exit__(self, *exception):
        self.act()
        return self.luck(.5)

    def __iter__(self):
        return self

    def __next__(self):
        if self.luck(.4):
            raise StopIteration
        return self.act()

    async def __aenter__(self):
        self.act()
        return self

    async def __aexit__(self, *exception):
        return self.luck(.5)

    def generate(self):
        try:
            while self.luck(.7):
                if self.luck(.5):
                    self.keep()
                yield self.below().act()
                self.below().act()
        except Thrown:
            yield self.leaf()

    def delegate(self):
        try:
            result = yield from (self.below().delegate() if self.depth > 0 and self.luck(.6) else self.generate())
            self.below().act()
        except Thrown:
            result = yield from self.below().generate()
        return result

    async def wait(self):
        less, least = self.below(), self.below(2)
        try:
            if self.depth > 0:
                await less.wait()
            self.act()
            async with less:
                if self.depth > 0:
                    await least.wait()
            await asyncio.sleep(0)
            if self.depth > 0:
                await least.wait()
        except Thrown:
            less.act()
            if self.depth > 0:
                await least.wait()

    def act(self):
        if self.depth <= 0:
            try:
                return self.leaf()
            except Thrown:
                if self.luck(.5):
                    raise
                return 2
        less, least = self.below(), self.below(2)
        try:
            return self.random.choice(WAYS)(less, least) or 0
        except Thrown:
            way = self.random.randrange(5)
            if way == 0:
                raise
            if way == 1:
                return less.act()
            if way == 2:
                for _ in less.generate():
                    least.act()
                return 1
            if way == 3:
                return (less.act(), least.act())[0]
            return 3


def broken_off(less, least):
    generator = less.generate()
    for _ in generator:
        least.act()
        break
    for _ in generator:
        least.act()


def iterated(less, least):
    for _ in less:
        least.act()


def delegated(less, least):
    for _ in less.delegate():
        least.act()


def thrown_into(less, least):
    generator = less.delegate()
    try:
        next(generator)
        least.act()
        generator.throw(Thrown)
        least.act()
        generator.send(3)
    except StopIteration:
        least.act()


def managed(less, least):
    with less:
        least.act()
    return least.act()


def tried_again(less, least):
    for _ in range(3):
        try:
            (1, 2, least.act(), (3, less.act()))
        except Thrown:
            for _ in least.generate():
                less.keep()


def in_the_end(less, least):
    try:
        return less.act()
    finally:
        least.act()


def executed(less, least):
    exec("x = least.act()\ny = least.act()\n", {"least": least})


WAYS = [
    broken_off, iterated, delegated, thrown_into, managed, tried_again, in_the_end, executed,
    lambda less, least: less.act(),
    lambda less, least: less.attribute,
    lambda less, least: less.missing,
    lambda less, least: less[1],
    lambda less, least: Actor(less.keep, less.random.random(), 1).act(),
    lambda less, least: less + least,
    lambda less, least: sum(least.act() for _ in range(2)),
    lambda less, least: sum([least.act() for _ in range(2)]),
    lambda less, least: len(sorted([least, least, least])),
    lambda less, least: (1, less.act(), (2, least.act(), [least.act(), least(less.act())]))[1],
    lambda less, least: max([1, 2, 3], key=lambda number: least.act()),
    lambda less, least: less(*[1]),
    lambda less, least: less(**{"one": 1}),
    lambda less, least: less(1, two=least.act()),
    lambda less, least: eval("least.act() + least.act()", {"least": least}),
]


def unwinding(keep, objects):
    actor = Actor(keep, objects)
    enough = keep.count + objects
    while keep.count < enough:
        for way in (actor.act, lambda: asyncio.run(actor.below(4).wait())):
            try:
                way()
            except (Thrown, StopIteration, RuntimeError):  # a generator may not let StopIteration out
                pass


def one_call_of_two(keep, objects):
    """A frame is left by an exception deep in an expression, makes an object in a call of C, and returns; the next one in its
    place calls Python there, for another caller, without having been as deep."""
    def raising():
        for _ in range(40):
            keep()
        raise Thrown

    def made_by(make, deep):
        if deep:
            try:
                (1, deep, (deep, deep, [deep, deep, raising()]))
            except Thrown:
                pass
        make(50)

    enough = keep.count + objects
    while keep.count < enough:
        made_by(bytes, True)
        made_by(keep, False)
        made_by(bytes, True)
        made_by(
            keep, False)


def jumps(keep, objects):
    """A debugger's trace function sets a frame to another line, and goes on with it there."""
    def make(count):
        for _ in range(count):
            keep()

    def jump(frame, line):
        for _ in range(30):
            make(3)  # often enough that the frames that wait might be sealed
        frame.f_lineno = line
        make(30)

    def trace(frame, event, _):
        if frame.f_code is not debugged.__code__:
            return None
        first = frame.f_code.co_firstlineno
        make(2)
        if event == "line" and frame.f_lineno == first + 2 and not frame.f_locals["jumped"]:
            frame.f_locals["jumped"].append(True)
            jump(frame, first + 5)
            make(2)
        return trace

    def debugged(jumped):
        make(3)
        make(5)
        jumped = jumped
        jumped.clear()
        make(30)

    enough = keep.count + objects
    before = sys.gettrace()
    while keep.count < enough:
        sys.settrace(trace)
        try:
            debugged([])
        finally:
            sys.settrace(before)


ALL = [unwinding, one_call_of_two, jumps]
