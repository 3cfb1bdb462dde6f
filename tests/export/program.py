# SPDX-License-Identifier: MIT
"""Holds memory in ways that pictures have to show, says "ready", and waits.  argv: how much of it leaks."""
import json
import sys
from importlib import import_module

import tm

LEAK = int(sys.argv[1])


class Cache:
    def __init__(self):
        self.items = {}

    def remember(self, key):
        self.items[key] = bytes(2000 + key % 50)  # the leak


def parse(count):
    return json.loads(json.dumps([{"id": i, "name": "user%d" % i} for i in range(count)]))


def handle(cache, key):
    cache.remember(key)
    return parse(3)


def serve(cache):
    return [handle(cache, key) for key in range(LEAK)]


def keep(size):
    return (lambda: bytes(size))()  # two frames on one line


def recurse(depth):
    return [bytearray(3000), recurse(depth - 1)] if depth else None


cache = Cache()
answers = serve(cache)
deep = recurse(40)
kept = keep(4000)
argparse = import_module("argparse")

# A name that would end a script, a folded stack or a line, if it were taken as it is.
EVIL = "/tmp/</script><!--;\u2028\u202e\n&.py"
exec(compile("def evil():\n    return [bytes(1000) for _ in range(40)]\nevils = evil()", EVIL, "exec"))

# A lone surrogate, as a file name with bytes that are no UTF-8 has it.
exec(compile("surrogates = bytes(5000)", "/tmp/\udcff.py", "exec"))

# A block of another domain; more than 32 bits, as a GPU's may be.
tm._tm._track(42, 0x1000, 5 << 32)

print("ready", flush=True)
sys.stdin.read()
