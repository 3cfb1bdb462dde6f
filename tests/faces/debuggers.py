# SPDX-License-Identifier: MIT
"""The faces, one class each: run commands on a core or a process, and get what each of them said.

A command is a list of words, verb first and without SOURCE.  An answer is (status, output, error): status 0 or 2 (a
debugger has no exit status for an answer that is a lower bound; its label is in the text).
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TM = ROOT / "build/bin/tm"
ENGINE = ROOT / "build/lib/libtm.so"
MARK = "@@@ %d\n"


def environment(**more):
    """One that tells debuggers nothing: no init files' switches, no colours, no downloads."""
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")}
    fixed = dict(LC_ALL="C.UTF-8", TERM="dumb", PYTHONDONTWRITEBYTECODE="1", SOURCE_DATE_EPOCH="1000000000")
    return dict(env, **dict(fixed, **more))


def quoted(words):
    """As somebody types it into a debugger; an ADDRESS stands as it is."""
    return " ".join('"%s"' % word if " " in word and "/" in word else word for word in words)


class CommandLine:
    name = "tm"

    def ask(self, commands, core=None, pid=None, program=None, env=None):
        answers = []
        for verb, *words in commands:
            source = str(core or pid)
            argv = [str(TM), verb] + ([*words, source] if verb == "diff" else [source, *words])
            done = subprocess.run(argv, capture_output=True, env=env or environment(), timeout=60)
            answers.append((done.returncode, done.stdout.decode(), done.stderr.decode()))
        return answers


class Gdb:
    def __init__(self, path, script=ROOT / "gdb/tm_gdb.py"):
        self.path, self.script = path, script
        self.name = os.path.basename(path)

    def version(self):
        return subprocess.run([self.path, "--version"], capture_output=True, text=True).stdout.splitlines()[0]

    def raw(self, lines, core=None, pid=None, program=None, env=None, load=True):
        """Output and errors of GDB, which is fed with lines as typed."""
        argv = [self.path, "-batch", "-nx", "-q"]
        argv += ["-p", str(pid)] if pid else []
        argv += [str(program)] if program else []
        argv += ["-c", str(core)] if core else []
        argv += ["-x", str(self.script)] if load else []
        for line in lines:
            argv += ["-ex", line]
        done = subprocess.run(
            argv, capture_output=True, env=env or environment(), stdin=subprocess.DEVNULL, timeout=120
        )
        return done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    def lines(self, lines, **where):
        """(output, error) of each line."""
        marked = []
        for number, line in enumerate(list(lines) + [""]):
            mark = repr("\n" + MARK % number)
            marked += ["python gdb.write(%s); gdb.write(%s, gdb.STDERR); gdb.flush()" % (mark, mark), line]
        output, error = (self._cut(text, len(lines)) for text in self.raw(marked[:-1], **where))
        return list(zip(output, error))

    @staticmethod
    def _cut(text, count):
        pieces = re.split(r"\n@@@ \d+\n", text)
        assert len(pieces) == count + 2, text
        return pieces[1:-1]

    def ask(self, commands, **where):
        said = self.lines(["tm " + quoted(words) for words in commands], **where)
        return [(2 if error.startswith("tm: ") and not output else 0, output, error) for output, error in said]


class Lldb:
    def __init__(self, path, script=ROOT / "lldb/tm_lldb.py"):
        self.path, self.script = path, script
        self.name = os.path.basename(path)

    def version(self):
        return subprocess.run([self.path, "--version"], capture_output=True, text=True).stdout.strip()

    def raw(self, lines, core=None, pid=None, program=None, env=None, load=True):
        argv = [self.path, "--batch", "--no-lldbinit"]
        argv += ["-p", str(pid)] if pid else []
        argv += [str(program)] if program else []
        argv += ["-c", str(core)] if core else []
        for line in (["command script import " + str(self.script)] if load else []) + list(lines):
            argv += ["-o", line]
        done = subprocess.run(
            argv, capture_output=True, env=env or environment(), stdin=subprocess.DEVNULL, timeout=120
        )
        return done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    def lines(self, lines, **where):
        driver = pathlib.Path(__file__).with_name("lldb_driver.py")
        with tempfile.NamedTemporaryFile("r") as file:
            env = dict(where.pop("env", None) or environment(), TM_LINES=json.dumps(list(lines)), TM_SAID=file.name)
            output, error = self.raw(["command script import " + str(driver)], env=env, **where)
            said = file.read()
        assert said, output + error
        return [(text, wrong) for text, wrong, _succeeded in json.loads(said)]

    def ask(self, commands, **where):
        answers = []
        for output, error in self.lines(["tm " + quoted(words) for words in commands], **where):
            failed = error.startswith("error: ")
            error = re.sub(r"^(error|warning): ", "", error, flags=re.MULTILINE)
            answers.append((2 if failed else 0, output, error))
        return answers


def found(variable, names):
    """Debuggers that a list in the environment names, or those of the usual names that this machine has."""
    paths = [shutil.which(name) for name in (os.environ[variable].split() if variable in os.environ else names)]
    return list({os.path.realpath(path): path for path in paths if path}.values())


GDBS = [Gdb(path) for path in found("TM_GDB", ["gdb"])]
LLDBS = [Lldb(path) for path in found("TM_LLDB", ["lldb"] + ["lldb-%d" % version for version in range(30, 13, -1)])]
