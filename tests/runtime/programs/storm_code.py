# SPDX-License-Identifier: MIT
"""Code objects die and others take their addresses: no block may name a file, a function or a line of the dead."""
import sys
import threading

import table
from tm import _tm


def storm(count, seed, wrong):
    keep = []
    for i in range(count):
        number = i * 7 + seed
        before = number % 61
        after = number % 5
        source = "%sdef f%d():\n%s return bytes(%d)\n" % ("\n" * before, number % 3, " pass\n" * after, 40 + number % 200)
        namespace = {}
        filename = "<code %d>" % (number % 1009)
        exec(compile(source, filename, "exec"), namespace)
        function = namespace["f%d" % (number % 3)]
        keep.append((function(), (filename, before + after + 2, function.__name__)))
        del function, namespace
        if len(keep) == 500:
            check(keep, wrong)
            keep.clear()
    check(keep, wrong)


def check(keep, wrong):
    for made, expected in keep:
        found = _tm._get_object_traceback(made)
        if not found or found[0][0] != expected:
            wrong.append((found and found[0][0], expected))


wrong = []
count = int(sys.argv[1])
storm(500, 0, wrong)
threads = [threading.Thread(target=storm, args=(count // 4, seed, wrong)) for seed in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
before = table.state("table_bytes")
storm(count // 2, 11, wrong)
growth = table.state("table_bytes") - before
assert not wrong, (len(wrong), wrong[:3])
table.check_totals()
print('{"growth": %d}' % growth)
