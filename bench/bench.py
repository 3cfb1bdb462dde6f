# SPDX-License-Identifier: MIT
"""What tracing costs: times and memory, as ratios to an untraced run, beside the standard library's tracemalloc.

Each measurement is a fresh process; the clock runs around the work alone, and the best of a few repeats inside the process
counts.  The variants of a workload take turns, round after round, so that a machine that others use slows all of them
alike; a ratio is the median of those of its rounds.  Where the machine's speed changes from one second to the next, that
is not enough: with --together the variants of a round share one processor, which the kernel gives to each for a few
milliseconds at a time, and their mean processor times count.
"""
import argparse
import concurrent.futures
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import workloads

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)

TM = ["tm-1", "tm-5", "tm-25"]
STOCK = ["stdlib-1", "stdlib-5", "stdlib-25"]
MEMRAY = "memray"
TIMEOUT = 120
# What tm (runtime/preload.c) and the loader say where a program goes on without tm, as fast as untraced.
NOT_TRACED = ("not traced", "cannot be preloaded")
CLOCKS = {"wall": "wall clock", "cpu": "processor time", "shared": "processor time of variants that run together"}


class Failed(Exception):
    pass


def environment(variant, build):
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("PYTHON") and name not in ("LD_PRELOAD",)}
    env["PYTHONHASHSEED"] = "0"
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    kind, _, frames = variant.partition("-")
    if kind in ("tm", "hooks"):
        env["PYTHONTM"] = frames or "25"
        env["LD_PRELOAD"] = os.path.join(build, "lib", "libtm-preload.so")
        env["PYTHONPATH"] = os.path.join(build, "lib", "python")
    elif kind == "stdlib":
        env["PYTHONTRACEMALLOC"] = frames
    return env


def command(python, workload, variant, clock):
    if workload == "test_json":
        return [python, "-m", "test", "test_json"]
    line = [os.path.join(HERE, "child.py"), workload, variant, clock]
    if variant == MEMRAY:
        return [python, "-m", "memray", "run", "-q", "-f", "--trace-python-allocators", "-o", "/dev/null"] + line
    return [python] + line


def measure(python, workload, variant, options):
    """Seconds, or for "memory" a list of two numbers."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(command(python, workload, variant, options.clock), cwd=HERE,
                                   env=environment(variant, options.build), stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=errors)
        watch = threading.Timer(TIMEOUT, process.kill)
        watch.start()
        _, status, used = os.wait4(process.pid, 0)  # of its own children, too; others run beside it
        seconds = time.perf_counter() - begin
        late = not watch.is_alive()
        watch.cancel()
        process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        output.seek(0)
        errors.seek(0)
        words, said = output.read().split(), errors.read().strip()
    if late:
        raise Failed("over %d s" % TIMEOUT)
    if process.returncode:
        raise Failed("status %d: %s" % (process.returncode, said[-200:]))
    if any(sign in said for sign in NOT_TRACED):
        raise Failed(said[-200:])
    if workload == "test_json":
        return seconds if options.clock == "wall" else used.ru_utime + used.ru_stime
    if workload == "memory":
        return [int(word) for word in words]
    return float(words[-1])


class Bench:
    """All measurements of one interpreter: samples[workload][variant] is a list, or a str that says why there is none."""

    def __init__(self, python, options):
        self.python = python
        self.options = options
        self.samples = {}

    def sample(self, workload, variant):
        of_workload = self.samples.setdefault(workload, {})
        found = of_workload.setdefault(variant, [])
        if isinstance(found, str):
            return
        try:
            found.append(measure(self.python, workload, variant, self.options))
        except Failed as failed:
            of_workload[variant] = str(failed)

    def run(self, workload_names, variants, rounds, stock_rounds):
        for workload in workload_names:
            slow = [variant for variant in variants if variant in STOCK + [MEMRAY]]
            # test_json is a program of CPython's, which does not stop tracing.
            quick = [variant for variant in variants
                     if variant not in slow and (workload, variant) != ("test_json", "hooks")]
            together = self.options.clock == "shared"
            for number in range(rounds):
                with concurrent.futures.ThreadPoolExecutor(len(quick) if together else 1) as at_once:
                    list(at_once.map(lambda variant: self.sample(workload, variant), quick))
                for variant in slow if number < stock_rounds else []:
                    self.sample(workload, variant)
            if workload != "memory":
                print("    %s %s" % (workload, self.describe(workload, variants)), file=sys.stderr, flush=True)

    def seconds(self, workload, variant):
        """Of each round; none where it was not measured, or failed."""
        found = self.samples.get(workload, {}).get(variant, [])
        return [] if isinstance(found, str) else found

    def median(self, workload, variant):
        seconds = self.seconds(workload, variant)
        return statistics.median(seconds) if seconds else None

    def ratio(self, workload, variant):
        ratios = [seconds / base for seconds, base in
                  zip(self.seconds(workload, variant), self.seconds(workload, "untraced"))]
        return statistics.median(ratios) if ratios else None

    def describe(self, workload, variants):
        return " ".join("%s=%s" % (variant, number(self.ratio(workload, variant))) for variant in variants)


def number(value, form="%.2f"):
    return "-" if value is None else form % value


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head] + rows) for i in range(len(head))]
    lines = ["| " + " | ".join(str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))) + " |" for row in [head] + rows]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + ("-" if i == 0 else ":") for i, width in enumerate(widths)) + "|")
    return "\n".join(lines)


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def times_table(bench, names, variants):
    rows = []
    for name in names:
        base = bench.median(name, "untraced")
        rows.append([name, number(base, "%.3f s")] + [number(bench.ratio(name, variant)) for variant in variants[1:]])
    return table(["", "untraced"] + variants[1:], rows)


def programs_table(bench, names, variants):
    columns = {variant: [bench.ratio(name, variant) for name in names] for variant in variants[1:]}
    columns = {variant: [value for value in values if value] for variant, values in columns.items()}
    rows = []
    for title, of in (("geometric mean", geometric_mean), ("median", statistics.median), ("worst", max)):
        rows.append([title, ""] + [number(of(values) if values else None) for values in columns.values()])
    return times_table(bench, names, variants) + "\n\n" + table(["%d programs" % len(names), ""] + variants[1:], rows)


def depth_table(bench, variants):
    rows = []
    for variant in variants:
        rows.append([variant] + [number(ns_each(bench.median("depth-%d" % depth, variant)), "%.0f ns")
                                 for depth in workloads.DEPTHS])
    return table(["allocation and free, at depth"] + [str(depth) for depth in workloads.DEPTHS], rows)


def ns_each(seconds):
    return seconds and seconds / workloads.DEPTH_COUNT * 1e9


def memory_table(bench, variants):
    found = bench.samples.get("memory", {})
    middle = {variant: statistics.median(used for used, _ in samples) for variant, samples in found.items()
              if samples and not isinstance(samples, str)}
    if "untraced" not in middle:
        return "memory: no measurement"
    blocks = statistics.median(made for _, made in found["untraced"])
    rows = [[variant, number((middle[variant] - middle["untraced"]) / blocks, "%.1f B")]
            for variant in variants[1:] if variant in middle]
    return table(["extra RSS for each of %.1f M live blocks" % (blocks / 1e6), ""], rows)


def facts(python):
    code = ("import sys, sysconfig; print(sys.version.split()[0]); "
            "print(sysconfig.get_config_var('PY_CORE_CFLAGS') and '--with-lto' in (sysconfig.get_config_var('CONFIG_ARGS')"
            " or '') and 'PGO, LTO' or 'plain build')")
    return subprocess.check_output([python, "-c", code], universal_newlines=True).split("\n")[:2]


def processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def has_memray(python):
    return not subprocess.call([python, "-c", "import memray"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def report(python, options):
    version, how = facts(python)
    bench = Bench(python, options)
    variants = ["untraced", "hooks"] + TM + ([] if options.no_stdlib else STOCK)
    if has_memray(python):
        variants.append(MEMRAY)
    if options.variants:
        variants = [variant for variant in variants if variant == "untraced" or variant in options.variants.split(",")]
    few = [variant for variant in variants if variant not in ("tm-5", "stdlib-5")]
    wanted = options.only.split(",") if options.only else None

    def chosen(names, group):
        return [name for name in names if not wanted or name in wanted or group in wanted]
    kernels = chosen(list(workloads.KERNELS) + ["test_json"], "kernels")
    programs = chosen(workloads.programs(), "programs")
    depths = chosen(["depth-%d" % depth for depth in workloads.DEPTHS], "depth")
    memory = chosen(["memory"], "memory")

    print("## CPython %s (%s)\n" % (version, how), flush=True)
    rounds, stock = options.rounds, min(options.rounds, options.stdlib_rounds)
    if kernels:
        bench.run(kernels, variants, rounds, stock)
        print(times_table(bench, kernels, variants), end="\n\n", flush=True)
    if depths:
        bench.run(depths, few, rounds, 1)
        print(depth_table(bench, few), end="\n\n", flush=True)
    if memory:
        bench.run(memory, few, min(rounds, 3), 1)
        print(memory_table(bench, few), end="\n\n", flush=True)
    if programs:
        bench.run(programs, few, rounds, 1)
        print(programs_table(bench, programs, few), end="\n\n", flush=True)
    for workload, variants_of in bench.samples.items():
        for variant, why in variants_of.items():
            if isinstance(why, str):
                print("%s, %s: %s" % (workload, variant, why))
    return {"python": version, "build": how, "samples": bench.samples}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pythons", nargs="+", default=[sys.executable], help="interpreters (default: this one)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds, whose median counts (default 5)")
    parser.add_argument("--stdlib-rounds", type=int, default=1,
                        help="rounds in which the kernels run under tracemalloc, which is slow (default 1)")
    parser.add_argument("--variants", help="only these of: hooks, tm-1, tm-5, tm-25, stdlib-1, stdlib-5, stdlib-25")
    parser.add_argument("--no-stdlib", action="store_true", help="leave tracemalloc out")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall",
                        help="cpu: processor time, for a machine that is busy (default wall)")
    parser.add_argument("--together", dest="clock", action="store_const", const="shared",
                        help="the variants at the same time on one processor, and its time: for a machine whose speed changes")
    parser.add_argument("--quick", action="store_true", help="one round, without tracemalloc")
    parser.add_argument("--only", help="names of workloads, or kernels, depth, memory, programs; comma-separated")
    parser.add_argument("--json", help="write all samples to this file")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="where tm is built (default: build)")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.no_stdlib = 1, True
    options.build = os.path.abspath(options.build)
    if options.clock == "shared":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

    print("%s, %d cores, Linux %s; %s; ratios to untraced, median of %d rounds (tracemalloc: %d)\n" % (
        processor(), os.cpu_count(), platform.release(), CLOCKS[options.clock], options.rounds,
        min(options.rounds, options.stdlib_rounds)))
    results = [report(python, options) for python in options.pythons]
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
