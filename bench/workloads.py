# SPDX-License-Identifier: MIT
"""The kernels that bench.py times, shared by all variants, and the programs of programs/.  Each makes its input before the
clock starts; work() is called several times and the best time counts."""
import importlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Node:
    __slots__ = ("a", "b")


def churn():
    """Six small allocations an iteration, 30 calls deep."""
    def loop(count):
        make = Node
        for i in range(1000, 1000 + count):
            a = i + 1000000
            b = a * 3
            c = "x%d" % i
            d = c + "y"
            e = make()
            f = [a, b]
        return c, d, e, f

    def down(depth, count):
        return down(depth - 1, count) if depth else loop(count)
    return lambda: down(28, 250000)


def json_loads():
    """json.loads of 10 MB."""
    import json
    text = json.dumps([{"id": i, "name": "name %d" % i, "values": [i * 0.5, i * 1.5, None, True],
                        "nested": {"a": [i, i + 1, {"deep": "text %d" % (i % 100)}]}} for i in range(77000)])
    return lambda: json.loads(text)


def build():
    """500,000 tuples and 250,000 lists that stay."""
    def work():
        tuples = [(i, i + 1000000) for i in range(500000)]
        lists = {i: [i] for i in range(250000)}
        return len(tuples) + len(lists)
    return work


COMPILED = """argparse ast asyncio/base_events asyncio/events asyncio/tasks bdb bz2 calendar cmd codecs collections/__init__
concurrent/futures/process concurrent/futures/thread configparser contextlib copy csv ctypes/util dataclasses datetime
decimal difflib dis doctest email/header email/message enum filecmp fileinput fractions ftplib functools getopt gettext
glob gzip heapq html/parser http/client http/cookies http/server imaplib inspect ipaddress json/decoder json/encoder
locale logging/__init__ logging/config mailbox mimetypes multiprocessing/pool netrc ntpath numbers opcode optparse os
pathlib pdb pickle pickletools platform plistlib poplib posixpath pprint profile pstats queue""".split()


def compile_modules():
    """compile() of 70 modules of the standard library."""
    folder = os.path.dirname(os.__file__)
    sources = []
    for name in COMPILED:
        path = os.path.join(folder, name + ".py")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                sources.append((file.read(), path))

    def work():
        for source, path in sources:
            compile(source, path, "exec", dont_inherit=True)
    return work


def fib():
    """Calls, and nothing else."""
    def call(n):
        return n if n < 2 else call(n - 1) + call(n - 2)
    return lambda: call(30)


def at_depth(depth):
    """Allocations of one kind at the bottom of a deep stack; divided by DEPTH_COUNT: cost of one."""
    def loop(count):
        make = Node
        for _ in range(count):
            make()

    def down(left):
        return down(left - 1) if left else loop(DEPTH_COUNT)
    sys.setrecursionlimit(10000)
    return lambda: down(depth - 3)


DEPTH_COUNT = 200000
DEPTHS = (5, 50, 500, 5000)


def memory():
    """Resident bytes for a million live tuples and ints; returns a number instead of being timed."""
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    before, blocks = resident(), sys.getallocatedblocks()
    keep = [(i, i + 1) for i in range(1000000, 2000000)]
    used, made = resident() - before, sys.getallocatedblocks() - blocks
    del keep
    return used, made


KERNELS = {"churn": churn, "json": json_loads, "build": build, "compile": compile_modules, "fib": fib}


def programs():
    return sorted(name[:-3] for name in os.listdir(os.path.join(HERE, "programs")) if name.endswith(".py"))


def program(name):
    sys.path.insert(0, os.path.join(HERE, "programs"))
    module = importlib.import_module(name)

    def work():
        for _ in range(module.REPEAT):
            module.run()
    return work


def find(name):
    if name in KERNELS:
        return KERNELS[name]()
    if name.startswith("depth-"):
        return at_depth(int(name[6:]))
    return program(name)
