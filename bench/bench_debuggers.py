# SPDX-License-Identifier: MIT
"""How fast tm answers in GDB and LLDB, once they have loaded the core of a traced program.

    make bench-debuggers                  a core of 10 million live blocks, and one that has 60,000 mappings besides
    make bench-debuggers ARGS='1'         millions of blocks
    make bench-debuggers ARGS='--keep'    leaves the cores in build/bench/

Every debugger that is found (TM_GDB and TM_LLDB name others) is started RUNS times.  "first" is the first time that this
process runs the command, the best of RUNS; "again" the best of all later ones.  Seconds are wall time, and in brackets
a processor's work, by which goals are judged: wall time grows with what else the machine does.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

from bench_reader import FOLDER, ROOT, TM, die_with_core, room_for

sys.path.append(str(ROOT / "tests" / "faces"))
import debuggers  # noqa: E402

RUNS = 3
INSIDE = ROOT / "bench" / "inside_debugger.py"
MAPPINGS = 60000
GOALS = {"load": 0.05, "top": 0.2, "traceback": 0.01}  # seconds of work, the first time, at 10 million blocks
FACTOR = 2  # that many mappings may cost


def questions(core):
    blocks = json.loads(subprocess.check_output([str(TM), "blocks", "--limit", "1", "--include", "*/made.py", "--json", str(core)]))
    lines = [("top", "tm top"), ("traceback", "tm traceback " + blocks["blocks"][0]["address"])]
    lines += [("top --by traceback", "tm top --by traceback"), ("blocks", "tm blocks")]
    return {"lines": lines, "expected": "/srv/app/made.py"}


def ask(debugger, core, questions):
    """What inside_debugger.py writes."""
    with tempfile.NamedTemporaryFile("r") as result:
        wanted = dict(questions, result=result.name, script=str(debugger.script))
        load = "source %s" if debugger in debuggers.GDBS else "command script import %s"
        env = debuggers.environment(TM_BENCH=json.dumps(wanted))
        output, error = debugger.raw([load % INSIDE], core=core, env=env, load=False)
        text = result.read()
    if not text:
        sys.exit("%s: %s" % (debugger.version(), output + error))
    return json.loads(text)


def best(times):
    """[wall, work], each the least."""
    return [min(column) for column in zip(*times)]


def table(name, core, factor, judged):
    """A table of one core; returns whether the goals are met."""
    met = True
    asked = questions(core)
    for debugger in debuggers.GDBS + debuggers.LLDBS:
        runs = [ask(debugger, core, asked) for _ in range(RUNS)]
        for what in runs[0]:
            first = best(run[what][0] for run in runs)
            again = best(one for run in runs for one in run[what][1:]) if runs[0][what][1:] else None
            goal = GOALS.get(what) if judged else None
            goal = goal and goal * (1 if what == "load" else factor)
            met &= goal is None or first[1] <= goal
            verdict = "" if goal is None else "  goal %.0f ms: %s" % (goal * 1e3, "met" if first[1] <= goal else "MISSED")
            shown = ["%9.2f ms (%7.2f)" % (wall * 1e3, work * 1e3) for wall, work in filter(None, [first, again])]
            words = [name, debugger.version().splitlines()[0][:32], what, *shown, *[""] * (2 - len(shown))]
            print("%-22s %-32s %-20s %s %s%s" % (*words, verdict), flush=True)
    return met


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("millions", type=int, nargs="?", default=10, help="of live blocks")
    parser.add_argument("--keep", action="store_true", help="leave the cores where they are")
    options = parser.parse_args()
    if not debuggers.GDBS + debuggers.LLDBS:
        sys.exit("no debugger here: apt-get install gdb lldb-19, or name them in TM_GDB and TM_LLDB")
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not room_for(options.millions):
        return 2
    print("CPython %s, %d processors, load %.1f\n" % (sys.version.split()[0], os.cpu_count(), os.getloadavg()[0]))
    print("%-22s %-32s %-20s %22s %22s" % ("", "", "", "first: wall (work)", "again: wall (work)"))
    met = True
    for name, mappings, factor in (("debuggers", 0, 1), ("mappings", MAPPINGS, FACTOR)):
        core = die_with_core(options.millions, name, str(mappings))
        title = "%d M blocks%s" % (options.millions, ", %d,000 maps" % (mappings // 1000) if mappings else "")
        met &= table(title, core, factor, options.millions == 10)
        if not options.keep:
            shutil.rmtree(str(core.parent))
    print("\nall goals met" if met else "\nNOT all goals met")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
