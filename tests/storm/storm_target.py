# SPDX-License-Identifier: MIT
"""Threads that allocate, grow, free and hand over blocks as fast as they can, until something kills the process."""
import os
import random
import sys
import threading

THREADS = int(sys.argv[1])
shared = [None] * 1000


def storm(seed):
    chance = random.Random(seed)
    own = []
    while True:
        what = chance.random()
        if what < 0.4:
            own.append(bytes(chance.randrange(1, 3000)))
        elif what < 0.6 and own:
            own.pop(chance.randrange(len(own)))
        elif what < 0.8:
            shared[chance.randrange(len(shared))] = bytearray(chance.randrange(20_000))
        elif what < 0.9:
            thing = shared[chance.randrange(len(shared))]
            if thing is not None:
                thing += bytes(chance.randrange(9000))  # realloc, perhaps of another thread's block
        elif what < 0.99:
            exec("def f(): return [%d] * %d\nown.append(f())" % (seed, chance.randrange(100)), {"own": own})
        if len(own) > 3000:
            del own[:2000]


for number in range(THREADS):
    threading.Thread(target=storm, args=(number,), daemon=True).start()
os.write(1, b"ready\n")
storm(THREADS)
