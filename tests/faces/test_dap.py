# SPDX-License-Identifier: MIT
"""The console of lldb-dap, as editors use it."""

import json
import shutil
import subprocess
import threading

import pytest

import debuggers


class Dap:
    """A client of the Debug Adapter Protocol; https://microsoft.github.io/debug-adapter-protocol/overview."""

    def __init__(self, path):
        self.process = subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=debuggers.environment()
        )
        self.deadline = threading.Timer(120, self.process.kill)
        self.deadline.start()
        self.sent = 0
        self.answers = {}
        self.events = set()

    def close(self):
        self.deadline.cancel()
        self.process.kill()
        self.process.wait()

    def send(self, command, **arguments):
        self.sent += 1
        body = json.dumps({"seq": self.sent, "type": "request", "command": command, "arguments": arguments}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()
        return self.sent

    def receive(self):
        header = self.process.stdout.readline()
        assert header, "no answer; so far: %s %s" % (self.answers, self.events)
        self.process.stdout.readline()
        message = json.loads(self.process.stdout.read(int(header.split(b":")[1])))
        if message["type"] == "response":
            self.answers[message["request_seq"]] = message
        elif message["type"] == "event":
            self.events.add(message["event"])

    def answer(self, number):
        while number not in self.answers:
            self.receive()
        return self.answers[number]

    def ask(self, command, **arguments):
        return self.answer(self.send(command, **arguments))

    def attach(self, **arguments):
        """LLDB 22 answers, as the protocol has it, when the configuration is done; older ones at once."""
        attached = self.send("attach", **arguments)
        while "initialized" not in self.events:
            self.receive()
            if not self.answers.get(attached, {"success": True})["success"]:
                return False
        return self.ask("configurationDone")["success"] and self.answer(attached)["success"]


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
        assert dap.attach(
            program=str(corpse.program),
            coreFile=str(corpse.core),
            initCommands=["settings set target.load-script-from-symbol-file false"],
            preRunCommands=["command script import %s" % lldb.script],
            stopOnEntry=True,
        )
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
        dap.close()
