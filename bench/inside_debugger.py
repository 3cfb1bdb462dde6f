# SPDX-License-Identifier: MIT
"""Run by bench_debuggers.py inside a GDB or LLDB that has loaded a core: how long its commands take.

Loads tm's script, then runs each command once and again; writes {what: [[wall, work], ...]} as JSON into a file.  "work"
is processor time of all threads of the debugger.
"""

import json
import os
import sys
import time

AGAIN = 20


def measure(load, execute):
    """load(): loads tm.  execute(line): runs a command, returns what it printed."""

    def timed(function, *words):
        before, work = time.perf_counter(), time.process_time()
        said = function(*words)
        return said, [time.perf_counter() - before, time.process_time() - work]

    wanted = json.loads(os.environ["TM_BENCH"])
    took = {"load": [timed(load)[1]]}
    for what, line in wanted["lines"]:
        took[what] = []
        for _ in range(1 + AGAIN):
            said, seconds = timed(execute, line)
            assert wanted["expected"] in said, (line, said)
            took[what].append(seconds)
    with open(wanted["result"], "w") as file:
        json.dump(took, file)


def in_gdb():
    import gdb

    script = json.loads(os.environ["TM_BENCH"])["script"]
    measure(lambda: gdb.execute("source " + script), lambda line: gdb.execute(line, to_string=True))


def __lldb_init_module(debugger, internal_dict):
    import lldb

    def execute(line):
        result = lldb.SBCommandReturnObject()
        context = lldb.SBExecutionContext(debugger.GetSelectedTarget().GetProcess())
        debugger.GetCommandInterpreter().HandleCommand(line, context, result, False)
        return (result.GetOutput() or "") + (result.GetError() or "")

    script = json.loads(os.environ["TM_BENCH"])["script"]
    measure(lambda: execute("command script import " + script), execute)


if "gdb" in sys.modules:  # LLDB looks for what defines __lldb_init_module
    in_gdb()
