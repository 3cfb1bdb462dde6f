# SPDX-License-Identifier: MIT
"""In GDB: leaves cores of a program that is moving tracemalloc's traces to another array of buckets.

    gdb -batch -nx -x stop_in_rehash.py --args python3 rehash_target.py

Writes before-grow, before-shrink (nothing is moved yet), grow-N, shrink-N (N instructions after an entry of the middle was
touched), and at last lets the kernel write its own core.  Facts go to rehash.json.
"""
import json
import sys

import gdb

STEPS = (0, 2, 4, 6, 9)  # of about 10 for each entry


def value(expression):
    return int(gdb.parse_and_eval(expression))


def word(address):
    return int.from_bytes(bytes(gdb.selected_inferior().read_memory(address, 8)), "little")


def chain(head):
    entries, entry = [], word(head)
    while entry:
        entries.append(entry)
        entry = word(entry)
    return entries


def middle(buckets, count):
    """The longest chain near the middle."""
    heads = range(buckets + 8 * (count // 2), buckets + 8 * (count // 2 + 2000), 8)
    return max((chain(head) for head in heads), key=len)


def main():
    for setting in ("pagination off", "confirm off", "debuginfod enabled off", "auto-load off"):
        gdb.execute("set " + setting)
    gdb.execute("tbreak main")
    gdb.execute("run")
    try:
        gdb.parse_and_eval("&hashtable_rehash")
    except gdb.error:
        return {"symbols": False}
    facts = {"symbols": True}
    # 3.8 has the two numbers the other way round; the number of buckets is a power of two, and larger.
    number = [value("sizeof(long)") and name for name in ("*(long *)$rdi", "*(long *)($rdi + 8)")]
    grow = "(%s > 20000 && %s * 2 > %s && %s < %s)"
    shrink = "(%s > 60000 && %s * 9 < %s)"
    for what in ("grow", "shrink"):
        conditions = []
        for entries, buckets in (number, number[::-1]):
            if what == "grow":
                conditions.append(grow % (entries, entries, buckets, entries, buckets))
            else:
                conditions.append(shrink % (buckets, entries, buckets))
        gdb.execute("break *hashtable_rehash if " + " || ".join(conditions))
        gdb.execute("continue")
        sizes = [value(name) for name in number]
        facts[what] = {"entries": min(sizes), "buckets": max(sizes)}
        gdb.execute("gcore before-" + what)
        entries = middle(word(value("$rdi") + 16), max(sizes))
        facts[what]["chain"] = len(entries)
        gdb.execute("delete")
        gdb.execute("awatch *(long *)%d" % entries[-1])
        gdb.execute("continue")
        gdb.execute("delete")
        done = 0
        for steps in STEPS:
            if steps > done:
                gdb.execute("stepi %d" % (steps - done))
            done = steps
            gdb.execute("gcore %s-%d" % (what, steps))
    gdb.execute("signal SIGABRT")
    return facts


try:
    FACTS = main()
except Exception as error:
    FACTS = {"error": "%s: %s" % (type(error).__name__, error)}
with open("rehash.json", "w") as file:
    json.dump(FACTS, file)
sys.stdout.flush()
