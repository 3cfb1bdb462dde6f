# SPDX-License-Identifier: MIT
"""One measurement in a process of its own:  child.py WORKLOAD VARIANT CLOCK.  Prints seconds (or, for "memory", bytes and
blocks).  CLOCK is wall or cpu, of which the best repeat counts, or shared: processor time beside the other variants,
whose mean counts, for what made the machine slow met them as well; without the first repeat, which is never the best."""
import statistics
import sys
import time

REPEATS = 5
ENOUGH = 0.8  # seconds: a slow variant is not repeated for ever


def main():
    import workloads
    name, variant, clock = sys.argv[1:]
    now = time.perf_counter if clock == "wall" else time.process_time
    if variant == "hooks":
        # Started by the environment, as a user would; from now on the hooks only forward.
        from tm import _tm
        _tm.stop()
    if name == "memory":
        print(*workloads.memory())
        return
    work = workloads.find(name)
    if clock == "shared":
        work()
    seconds = []
    begin = now()
    for _ in range(REPEATS):
        start = now()
        work()
        end = now()
        seconds.append(end - start)
        if end - begin > ENOUGH:
            break
    print(statistics.mean(seconds) if clock == "shared" else min(seconds))


main()
