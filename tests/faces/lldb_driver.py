# SPDX-License-Identifier: MIT
"""Imported into LLDB by the tests: runs the lines of $TM_LINES as if typed, and prints what each one said as JSON.

`lldb --batch` stops at the first line that fails, and mixes what it echoes with what commands say.
"""

import json
import os

import lldb


def __lldb_init_module(debugger, internal_dict):
    said = []
    for line in json.loads(os.environ["TM_LINES"]):
        result = lldb.SBCommandReturnObject()
        debugger.GetCommandInterpreter().HandleCommand(line, result)
        said.append((result.GetOutput() or "", result.GetError() or "", result.Succeeded()))
    print("@@@ " + json.dumps(said))
