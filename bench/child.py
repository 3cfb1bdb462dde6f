# SPDX-License-Identifier: MIT
"""One measurement in a process of its own:  child.py WORKLOAD VARIANT CLOCK.  Prints seconds (or, for "memory", bytes and
blocks).  CLOCK is wall or cpu."""
import sys
import time

REPEATS = 5
ENOUGH = 0.8  # seconds: a slow variant is not repeated for ever


def main():
    import workloads
    name, variant, clock = sys.argv[1:]
    now = time.process_time if clock == "cpu" else time.perf_counter
    if variant == "hooks":
        # Started by the environment, as a user would; from now on the hooks only forward.
        from tm import _tm
        _tm.stop()
    if name == "memory":
        print(*workloads.memory())
        return
    work = workloads.find(name)
    best = float("inf")
    begin = now()
    for _ in range(REPEATS):
        start = now()
        work()
        end = now()
        best = min(best, end - start)
        if end - begin > ENOUGH:
            break
    print(best)


main()
