# SPDX-License-Identifier: MIT
"""How fast the reader answers on big tables: cores of a traced program, and the same questions to tracemalloc in-process.

    make bench-reader                     1, 10 and, where disk and memory allow, 50 million live blocks
    make bench-reader ARGS='1 10'         millions of blocks
    make bench-reader ARGS='--keep 1'     leaves the cores in build/bench/
    make bench-reader ARGS='--stdlib 5'   cores of the standard library's tracemalloc only, 25 frames deep

Times are wall time from the start of the process to its end (in brackets: of a processor's work), the best of RUNS, with the
files in the page cache.  Memory
is the highest RSS of that process; pages of the core that it looked at count, though nobody has to write them anywhere.
"""

import argparse
import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TM = ROOT / "build" / "bin" / "tm"
TARGET = Path(__file__).with_name("reader_target.py")
FOLDER = ROOT / "build" / "bench"
RUNS = 5
DISK, MEMORY = 130, 200  # bytes for each block, generously: of a core, of the program while it lives
STDLIB_DISK, STDLIB_MEMORY = 200, 300  # of tracemalloc's

GOALS = {  # seconds, at 10 million blocks
    "top": 0.1,
    "check": 1.0,
    "blocks": 1.0,
    "sizes": 1.0,
    "diff": 0.3,
}


STDLIB_GOALS = {"top": 0.5, "top through GDB alone": 3.0}  # seconds of work, at 5 million traces

# GDB asks for every byte, as it must for a remote target or a core that was deleted.
THROUGH_GDB = "python import sys; sys.modules['tm_gdb_commands'].core_file = lambda number: None"


def die_with_core(millions, name, *words, tracer=None):
    """The kernel's core of a traced program with so many million blocks.  words: more for reader_target.py."""
    folder = FOLDER / ("%s-%d" % (name, millions))
    shutil.rmtree(str(folder), ignore_errors=True)
    folder.mkdir(parents=True)
    limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
    subprocess.run(
        (tracer or [str(TM), "run", "-n", "25", "--", sys.executable]) + [str(TARGET), str(millions * 1000000), *words],
        cwd=str(folder),
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (limit, limit)),
    )
    cores = list(folder.glob("core*"))
    if not cores:
        sys.exit("the kernel left no core in %s: see ulimit -H -c and /proc/sys/kernel/core_pattern" % folder)
    return cores[0]


class Took(float):
    """Seconds of wall time; `work`: of a processor, which is less if others were at work, too."""

    work = 0.0


def wall(words):
    """Best of RUNS."""
    times = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        status = subprocess.call(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # GDB has warnings
        took = Took(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        took.work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times.append(took)
        assert status in (0, 3), words
    return min(times)


def highest_memory(words):
    """Of the process alone: wait4() would count this interpreter, too, which it was forked from.  Its answer goes into a
    pipe that is full, so that it waits at its end until it has been looked at."""
    output, full = os.pipe()
    os.set_blocking(full, False)
    try:
        while True:
            os.write(full, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(full, True)
    process = subprocess.Popen(words, stdout=full)
    os.close(full)
    waited = 0
    while waited < 3 and process.poll() is None:
        time.sleep(0.02)
        with open("/proc/%d/stat" % process.pid) as file:
            waited = waited + 1 if file.read().rpartition(")")[2].split()[0] == "S" else 0
    status = dict(line.split(":", 1) for line in open("/proc/%d/status" % process.pid))
    fcntl.fcntl(output, fcntl.F_SETFL, os.O_NONBLOCK)
    while process.poll() is None:
        try:
            os.read(output, 1 << 20)
        except BlockingIOError:
            time.sleep(0.005)
    os.close(output)
    return int(status["VmHWM"].split()[0]) * 1024


def row(millions, what, seconds, more=""):
    goal = GOALS.get(what.split()[0]) if millions == 10 and not what.startswith(" ") else None
    verdict = "" if goal is None else "  goal %.1f s: %s" % (goal, "met" if seconds <= goal else "MISSED")
    work = "(%.3f s)" % seconds.work if isinstance(seconds, Took) else ""
    print("%9d M  %-24s %8.3f s %10s  %s%s" % (millions, what, seconds, work, more, verdict), flush=True)
    return goal is None or seconds <= goal


def ask(millions, core):
    met = True
    info = json.loads(subprocess.check_output([str(TM), "info", "--json", str(core)]))
    table = info["table"]["bytes"]
    size = os.stat(str(core))
    print("            core: %.2f GB, %.2f GB on disk; table %.2f GB; %d blocks, %d stacks" % (
        size.st_size / 1e9, size.st_blocks * 512 / 1e9, table / 1e9, info["total"]["count"], info["table"]["stacks"]))
    for words in (["top"], ["top", "--by", "traceback"], ["top", "--domain", "0"], ["tree"]):
        command = [str(TM), words[0], str(core)] + words[1:]
        memory = highest_memory(command)
        fine = row(millions, " ".join(words), wall(command), "%6.1f MB" % (memory / 1e6))
        met &= fine and (millions != 10 or memory <= 64 << 20)
    for words in (["check"], ["blocks"], ["sizes"]):
        command = [str(TM), words[0], str(core)]
        seconds = wall(command)
        memory = highest_memory(command)
        met &= row(millions, words[0], seconds, "%6.1f MB  %5.2f GB/s of table" % (memory / 1e6, table / seconds / 1e9))
    for words in ([], ["--blocks"]):
        snapshot = core.parent / "snapshot.tm"
        command = [str(TM), "dump", "--force", str(core), str(snapshot)] + words
        row(millions, " ".join(["dump"] + words), wall(command), "%6.2f MB file" % (os.stat(str(snapshot)).st_size / 1e6))
        row(millions, "  top of that file", wall([str(TM), "top", str(snapshot)]))
    return met


def standard_library(millions):
    """What tracemalloc left behind, without tm in the process."""
    met = True
    core = die_with_core(millions, "stdlib", tracer=[sys.executable, "-X", "tracemalloc=25"])
    info = json.loads(subprocess.check_output([str(TM), "info", "--json", str(core)]))
    print("            core: %.2f GB; %d traces, %d stacks; %s" % (
        os.stat(str(core)).st_size / 1e9, info["total"]["count"], info["table"]["stacks"], info.get("proof", "NOT PROVEN")))
    gdb = ["gdb", "-batch", "-nx", "-ex", "set debuginfod enabled off", "-c", str(core), "-x", str(ROOT / "gdb" / "tm_gdb.py")]
    asked = [(words, [str(TM), words.split()[0], str(core)] + words.split()[1:]) for words in (
        "top", "top --by traceback", "check", "blocks")]
    if shutil.which("gdb"):
        asked += [("GDB without a command", gdb), ("top through GDB", gdb + ["-ex", "tm top"]),
                  ("top through GDB alone", gdb + ["-ex", THROUGH_GDB, "-ex", "tm top"])]
    for what, command in asked:
        took = wall(command)
        goal = STDLIB_GOALS.get(what) if millions == 5 else None
        verdict = "" if goal is None else "  goal %.1f s: %s" % (goal, "met" if took.work <= goal else "MISSED")
        row(millions, what, took, verdict)
        met &= goal is None or took.work <= goal
    return met


def in_process(millions):
    done = subprocess.run(
        [sys.executable, "-X", "tracemalloc=25", str(TARGET), str(millions * 1000000), "measure"],
        stdout=subprocess.PIPE,
        check=True,
    )
    took = json.loads(done.stdout)
    row(millions, "tracemalloc in-process", took["take_snapshot"] + took["statistics"], "%6.1f MB more  (take_snapshot %.2f s, statistics %.2f s)" % (
        took["more_memory"] / 1e6, took["take_snapshot"], took["statistics"]))


def room_for(millions, disk_each=DISK, memory_each=MEMORY):
    available = next(int(line.split()[1]) * 1024 for line in open("/proc/meminfo") if line.startswith("MemAvailable"))
    disk = shutil.disk_usage(str(FOLDER)).free
    if millions * 1e6 * memory_each > available or millions * 1e6 * disk_each * 2 > disk:
        print("%9d M  left out: it takes up to %.0f GB of memory and %.0f GB of disk" % (
            millions, millions * memory_each / 1e3, millions * disk_each / 1e3))
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("millions", type=int, nargs="*", default=[1, 10, 50], help="of live blocks")
    parser.add_argument("--stdlib", action="store_true", help="the standard library's tables only")
    parser.add_argument("--keep", action="store_true", help="leave the cores where they are")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    print("CPython %s, %d processors, load %.1f\n" % (sys.version.split()[0], os.cpu_count(), os.getloadavg()[0]))
    met = True
    for millions in options.millions:
        if options.stdlib or not room_for(millions):
            continue
        core = die_with_core(millions, "reader")
        met &= ask(millions, core)
        if millions == 10:
            other = die_with_core(millions, "other")
            met &= row(millions, "diff of two cores", wall([str(TM), "diff", str(core), str(other)]))
        if not options.keep:
            for name in ("reader", "other"):
                shutil.rmtree(str(FOLDER / ("%s-%d" % (name, millions))), ignore_errors=True)
    for millions in options.millions if options.stdlib else (1, 5):
        if millions <= max(options.millions) and room_for(millions, STDLIB_DISK, STDLIB_MEMORY):
            met &= standard_library(millions)
            if not options.stdlib:
                in_process(millions)
            if not options.keep:
                shutil.rmtree(str(FOLDER / ("stdlib-%d" % millions)), ignore_errors=True)
    print("\nall goals met" if met else "\nNOT all goals met")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
