# SPDX-License-Identifier: MIT
"""What oracle_target.py allocates: each kind on a line of its own, in several functions, files and depths."""
import oracle_deep


class Plain:
    """An instance with a dictionary: from 3.11 on, the block begins two words before the object's GC head."""


class Slotted:
    __slots__ = ("payload", "__weakref__")


def small(count):
    return [bytes(40 + i % 64) for i in range(count)]


def big():
    return [
        bytearray(3 << 20),
        bytes((1 << 20) + 1),
    ]


def grown():
    growing = []
    for i in range(20_000):
        growing.append(None)
    text = bytearray()
    for i in range(400):
        text += b"0123456789" * 37
    return growing, text


def freed(count):
    """Half of what this allocates is freed again, every other one."""
    blocks = [bytes(700) for _ in range(count)]
    gone = [bytes(900) for _ in range(count)]
    del blocks[::2]
    gone.clear()
    return blocks


def instances(count):
    made = []
    for i in range(count):
        plain = Plain()
        plain.number = 10_000 + i
        plain.text = "instance %d" % i
        slotted = Slotted()
        slotted.payload = (plain, float(i))
        made.append(slotted)
    return made


def from_a_lambda():
    make = lambda n: ["%d bottles" % i for i in range(n)]  # noqa: E731
    return make(300)


def generated(count):
    return list(oracle_deep.generate(count))


def wide(count):
    return ["\N{SNOWMAN}" * count, "\N{PILE OF POO}" * count, "\xe9" * count]


def compiled():
    space = {}
    exec(compile("def f():\n\n    return [b'x' * 5000 for _ in range(20)]\nkeep = f()\n", "<generated>", "exec"), space)
    return space


class Everything:
    def __init__(self):
        self.small = small(5000)
        self.big = big()
        self.growing, self.text = grown()
        self.rest = freed(1000)
        self.instances = instances(500)
        self.bottles = from_a_lambda()
        self.deep = oracle_deep.descend(40)
        self.very_deep = oracle_deep.descend(200)
        self.generated = generated(100)
        self.compiled = compiled()
        self.wide = wide(2000)

    def named(self):
        """Objects whose tracebacks are compared: start of a block, behind a GC head, behind a managed dictionary."""
        yield "bytes", self.small[77]
        yield "big bytearray object", self.big[0]
        yield "big bytes", self.big[1]
        yield "list", self.growing
        yield "bytearray", self.text
        yield "survivor", self.rest[3]
        yield "slotted instance", self.instances[7]
        yield "plain instance", self.instances[7].payload[0]
        yield "tuple", self.instances[7].payload
        yield "str", self.bottles[5]
        yield "deep", self.deep["bottom"]
        yield "very deep", self.very_deep["bottom"]
        yield "generated", self.generated[9]
        yield "from exec", self.compiled["keep"][0]
        yield "dict", self.compiled
        yield "instance of this class", self
        yield "type", Plain
        yield "before tm", None
