# SPDX-License-Identifier: MIT
"""Ways for a frame to come onto the stack and to go: calls, callbacks from C, properties, exceptions, classes."""
import contextlib
import copy
import functools
import json
import pickle
import re
import weakref


def recursion(keep, n):
    """Down and up again, with allocations on both ways, at many depths."""
    def down(depth):
        keep(depth)
        if depth:
            down(depth - 1)
            if depth % 3 == 0:
                keep(
                    depth)
        keep(depth)
    for depth in (30, 3, 100, 24, 25, 26, 400):
        down(depth)
    for i in range(n // 200):
        down(i % 60)


def zigzag(keep, n):
    """A stack that goes up and down in steps of all sizes, so that a cache of it meets its bottom again and again."""
    def rec(depth, script):
        while script:
            step = script[-1]
            if step < 0:
                script[-1] += 1
                if not script[-1]:
                    script.pop()
                keep(depth)
                if depth:
                    return
            else:
                script[-1] -= 1
                if script[-1] <= 0:
                    script.pop()
                keep(depth)
                if depth < 700:
                    rec(depth + 1, script)
    state = 12345
    script = []
    for _ in range(n // 20):
        state = (state * 1103515245 + 12345) % (1 << 31)
        script.append((state >> 8) % 90 * (1 if state & 1024 else -1))
    while script:
        rec(0, script)


def two_paths(keep, n):
    """Two functions that call one another from two places each: the same frames, other instructions."""
    def even(depth, bits):
        if not depth:
            return keep(bits)
        if bits & 1:
            odd(depth - 1, bits >> 1)
        else:
            even(depth - 1, bits >> 1)
        keep(depth)

    def odd(depth, bits):
        if not depth:
            return keep(bits)
        if bits & 1:
            even(depth - 1, bits >> 1)
        else:
            odd(depth - 1, bits >> 1)
        keep(depth)
    for i in range(n // 30):
        even(20 + i % 17, i * 2654435761 % (1 << 40))


def lines(keep, n):
    """Several lines of one function, expressions over several lines, loops on one line."""
    for i in range(n // 12):
        keep(i)
        keep(i); keep(i)
        [keep(i),
         keep(i), (
             keep(
                 i))]
        if i % 2:
            keep(i)
        else:
            keep(
                i
            )
        for _ in range(3): keep(i)


class Attributes:
    def __init__(self, keep):
        self.keep = keep

    @property
    def value(self):
        return self.keep(1)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self.keep(name)

    def __len__(self):
        self.keep(2)
        return 3

    def __hash__(self):
        self.keep(3)
        return 4

    def __eq__(self, other):
        self.keep(5)
        return True

    def __lt__(self, other):
        self.keep(6)
        return False

    def __iter__(self):
        yield self.keep(7)
        yield self.keep(8)

    def __call__(self, *args):
        return self.keep(9)

    def __enter__(self):
        return self.keep(10)

    def __exit__(self, *exception):
        self.keep(11)
        return True

    def __add__(self, other):
        return self.keep(12)

    def __getitem__(self, key):
        return self.keep(13)

    def __contains__(self, key):
        self.keep(14)
        return True

    def __repr__(self):
        self.keep(15)
        return "Attributes"


def specials(keep, n):
    """Python code that C code calls."""
    a = Attributes(keep)
    b = Attributes(keep)
    for _ in range(n // 40):
        a.value
        a.unknown
        getattr(a, "else", None)
        len(a)
        {a: 1}[b]
        a < b, max(a, b), sorted([a, b, a])
        list(a), tuple(b), [*a]
        a(1), a + b, a[1], 1 in a
        with a:
            raise ValueError
        repr(a), "%s %r" % (a, b), f"{a}"


def callbacks(keep, n):
    """Functions handed to C: sort keys, map, filter, reduce, re.sub, json hooks, lru_cache, partial."""
    @functools.lru_cache(maxsize=16)
    def cached(x):
        return keep(x)

    def key(x):
        keep(x)
        return -x

    def compare(x, y):
        keep(x)
        return x - y
    for i in range(n // 60):
        sorted(range(8), key=key)
        list(map(keep, range(4)))
        list(filter(lambda x: keep(x), range(4)))
        functools.reduce(lambda x, y: keep(y) and x + y, range(5))
        sorted([3, 1, 2], key=functools.cmp_to_key(compare))
        re.sub("a", lambda match: "b" if keep(match) else "", "banana")
        json.loads('{"a": {"b": [1.5, 2]}}', object_hook=lambda d: keep(d) and d,
                   parse_float=lambda text: keep(text))
        cached(i)
        functools.partial(keep, i)()
        min(range(4), key=lambda x: keep(x) and x)


class Meta(type):
    def __new__(mcs, name, bases, namespace, keep=None):
        keep and keep(name)
        return super().__new__(mcs, name, bases, dict(namespace))

    def __init__(cls, name, bases, namespace, keep=None):
        super().__init__(name, bases, namespace)
        keep and keep(name)


class Descriptor:
    def __init__(self, keep):
        self.keep = keep

    def __set_name__(self, owner, name):
        self.keep(name)

    def __get__(self, instance, owner):
        return self.keep(1)


def classes(keep, n):
    """Class bodies, metaclasses, __set_name__, __init_subclass__, closures and decorators."""
    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            keep(args)
            return function(*args, **kwargs)
        return wrapper
    for i in range(n // 30):
        class Base(metaclass=Meta, keep=keep):
            keep(i)
            member = Descriptor(keep)
            nested = [keep(x) for x in range(2)]

            def __init_subclass__(cls, **kwargs):
                keep(cls)

            @decorate
            def method(self):
                class Inner:
                    keep(2)
                return super().__init__(), Inner

        class Derived(Base):
            keep(i)
        Derived().member, Derived().method()


def exceptions(keep, n):
    """Stacks that end by exceptions, handlers, finally, context managers."""
    @contextlib.contextmanager
    def manager():
        keep(1)
        try:
            yield keep(2)
        finally:
            keep(3)

    def fail(depth):
        try:
            if not depth:
                raise ValueError(keep(depth))
            fail(depth - 1)
        except ValueError:
            keep(depth)
            if depth % 3:
                raise
        finally:
            keep(depth)
    for i in range(n // 60):
        with contextlib.suppress(ValueError), manager():
            fail(i % 12)
        with contextlib.ExitStack() as stack:
            stack.callback(keep, 1)
            stack.enter_context(manager())
        try:
            {}[keep(1)]
        except KeyError:
            keep(2)


def comprehensions(keep, n):
    """Comprehensions (functions of their own until 3.11), generator expressions, lambdas, star calls."""
    for i in range(n // 40):
        [keep(x) for x in range(3)]
        {keep(x): keep(x) for x in range(2)}
        {keep(x) for x in range(2)}
        list(keep(x) for x in range(3))
        [[keep(x) for x in range(y)] for y in range(4)]
        sum(1 for x in (keep(y) for y in range(4)) if x)
        (lambda *a, **k: keep(a))(*[keep(x) for x in range(2)], **{"a": keep(i)})
        any(keep(x) is None for x in range(5))


class Reduced:
    keep = None

    def __reduce__(self):
        self.keep(1)
        return (rebuilt, (1, 2))

    def __deepcopy__(self, memo):
        self.keep(2)
        return self

    def __del__(self):
        if self.keep:
            self.keep(3)


def rebuilt(*args):
    Reduced.keep(args)
    return Reduced()


def finalizers(keep, n):
    """__del__, weak reference callbacks, pickling and copying through C."""
    Reduced.keep = staticmethod(keep)
    for i in range(n // 20):
        thing = Reduced()
        reference = weakref.ref(thing, keep)
        pickle.loads(pickle.dumps([thing, thing]))
        copy.deepcopy({"a": [thing]})
        cycle = [Reduced()]
        cycle.append(cycle)
        del thing, cycle, reference
    Reduced.keep = None


def deep(keep, n):
    """Two thousand frames."""
    def down(depth):
        if depth % 50 == 0:
            keep(depth)
        if depth:
            down(depth - 1)
        if depth % 37 == 0:
            keep(depth)
    for i in range(max(1, n // 800)):
        down(1990 + i % 10)


ALL = [recursion, zigzag, two_paths, lines, specials, callbacks, classes, exceptions, comprehensions, finalizers, deep]
