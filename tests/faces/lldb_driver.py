# SPDX-License-Identifier: MIT
"""Imported into LLDB by the tests: runs the lines of $TM_LINES as if typed, and writes what each one said as JSON into $TM_SAID.

`lldb --batch` stops at the first line that fails, and mixes what it echoes with what commands say.
"""

import json
import os

import lldb


def context(debugger):
    """What is selected now.  Within an import, commands would go on to be about what was selected before it."""
    target = debugger.GetSelectedTarget()
    process = target.GetProcess()
    thread = process.GetSelectedThread()
    frame = thread.GetSelectedFrame()
    return lldb.SBExecutionContext(next(filter(lambda one: one.IsValid(), (frame, thread, process)), target))


def __lldb_init_module(debugger, internal_dict):
    said = []
    debugger.SetAsync(False)  # as `lldb --batch` has it: a command that starts or attaches waits until that is done
    for line in json.loads(os.environ["TM_LINES"]):
        result = lldb.SBCommandReturnObject()
        debugger.GetCommandInterpreter().HandleCommand(line, context(debugger), result, False)
        said.append((result.GetOutput() or "", result.GetError() or "", result.Succeeded()))
    with open(os.environ["TM_SAID"], "w") as file:
        json.dump(said, file)
