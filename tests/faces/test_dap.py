# SPDX-License-Identifier: MIT
"""The console of lldb-dap, as editors use it."""

import json
import shutil
import subprocess

import pytest

import debuggers


class Dap:
    def __init__(self, path):
        self.process = subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=debuggers.environment()
        )
        self.sent = 0

    def send(self, command, **arguments):
        self.sent += 1
        body = json.dumps({"seq": self.sent, "type": "request", "command": command, "arguments": arguments}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()
        return self.sent

    def answer(self, number):
        """The response to a request; events are skipped."""
        while True:
            length = int(self.process.stdout.readline().split(b":")[1])
            self.process.stdout.readline()
            message = json.loads(self.process.stdout.read(length))
            if message["type"] == "response" and message["request_seq"] == number:
                return message

    def ask(self, command, **arguments):
        return self.answer(self.send(command, **arguments))


def test_console(lldb, corpse):
    names = [lldb.name.replace("lldb", "lldb-dap"), lldb.name.replace("lldb", "lldb-vscode")]
    path = next(filter(None, map(shutil.which, names)), None)
    if not path:
        pytest.skip("no lldb-dap for %s" % lldb.name)
    dap = Dap(path)
    try:
        assert dap.ask(
            "initialize", adapterID="tm", linesStartAt1=True, columnsStartAt1=True, pathFormat="path"
        )["success"]
        attached = dap.send(
            "attach",
            program=str(corpse.program),
            coreFile=str(corpse.core),
            initCommands=["settings set target.load-script-from-symbol-file false"],
            preRunCommands=["command script import %s" % lldb.script],
        )
        assert dap.answer(attached)["success"]
        thread = dap.ask("threads")["body"]["threads"][0]["id"]
        frame = dap.ask("stackTrace", threadId=thread)["body"]["stackFrames"][0]["id"]
        for prefix in ("`", ""):
            said = dap.ask("evaluate", expression=prefix + "tm top 1", context="repl", frameId=frame)
            if said["success"]:
                break
        assert "app.py:4" in said["body"]["result"] and "\x1b" not in said["body"]["result"], said
        said = dap.ask("evaluate", expression=prefix + "tm traceback 16", context="repl", frameId=frame)
        assert "tm: 0x10 " in said["body"]["result"], said
        said = dap.ask("evaluate", expression=prefix + "tm traceback leaked", context="repl", frameId=frame)
        assert "Cache.put" in said["body"]["result"], said
    finally:
        dap.process.kill()
        dap.process.wait()
