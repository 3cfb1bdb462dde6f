# SPDX-License-Identifier: MIT
"""Threads that come and go run the same functions and generators at the same time, replace them under one another, free one
another's blocks and collect garbage; each block must name the line that made it.

Free-threaded builds copy bytecode for each thread, and free the copies of threads that have ended when garbage is collected.
"""
import gc
import random
import sys
import threading

import table
from tm import _tm

THREADS, FUNCTIONS, STEPS = 8, 40, 250
functions = [None] * FUNCTIONS  # (function, where it makes a block, a generator, where that makes one)
shared = [None] * 500
wrong = []


def make(chance):
    number, blank = chance.randrange(1000), chance.randrange(60)
    filename = "<storm %d>" % number
    source = "%sdef f%d(size):\n return bytes(size)\ndef g(size):\n while True:\n  yield (\n   bytes(size))\n"
    namespace = {}
    exec(compile(source % ("\n" * blank, number % 7), filename, "exec"), namespace)
    return (namespace["f%d" % (number % 7)], (filename, blank + 2, "f%d" % (number % 7)),
            namespace["g"](400 + number), (filename, blank + 6, "g"))


def call(chance):
    function, where, generator, where_generated = functions[chance.randrange(FUNCTIONS)]
    if chance.random() < 0.6:
        return function(300 + chance.randrange(3000)), where
    try:
        return next(generator), where_generated
    except ValueError:  # it runs in another thread
        return None, None


def work(seed):
    chance = random.Random(seed)
    for step in range(STEPS):
        made, where = call(chance)
        if made is not None:
            found = _tm._get_object_traceback(made)
            if not found or found[0][0] != where:
                wrong.append((found and found[0][:2], where))
            shared[chance.randrange(len(shared))] = made  # and what lay there goes
        if chance.random() < 0.1:
            functions[chance.randrange(FUNCTIONS)] = make(chance)
        if chance.random() < 0.01:
            gc.collect()


functions[:] = [make(random.Random(seed)) for seed in range(FUNCTIONS)]
rounds = int(sys.argv[1])
for round in range(rounds):
    threads = [threading.Thread(target=work, args=(round * THREADS + number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
assert not wrong, (len(wrong), wrong[:3])
table.check_totals()
print('{"lost": %d}' % table.state("lost"))
