# SPDX-License-Identifier: MIT
"""A program that dies after any instruction of a hook: the table says what was true before it, what is true after it, or that
it does not add up.  Single steps leave none out."""
import ctypes
import mmap
import os
import shutil
import signal
import sys

import pytest

import storm
import corpses
import step_target

sys.path.append(str(corpses.ROOT / "reader"))
import tm_engine  # noqa: E402

PEEKUSER, CONT, SINGLESTEP = 3, 7, 9  # sys/ptrace.h
RIP, RSP = 16 * 8, 19 * 8  # struct user

libc = ctypes.CDLL(None)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.memcmp.argtypes = libc.memcpy.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


class Stepped:
    """A traced program, between its marks, which are signals."""

    def __init__(self, python, folder, change):
        file = str(folder / "a.tm")
        words = [str(corpses.TM), "run", "-n", "25", "--file", file, "--", python.executable, step_target.__file__, change]
        self.pid = os.posix_spawn(words[0], words, corpses.clean_environment())
        self.status = None

    def wait(self):
        _, self.status = os.waitpid(self.pid, 0)
        return os.WSTOPSIG(self.status) if os.WIFSTOPPED(self.status) else None

    def to_mark(self):
        while True:
            stopped = self.wait()
            assert stopped is not None, "it has ended: %s" % self.status
            if stopped == signal.SIGUSR1:
                return
            libc.ptrace(CONT, self.pid, None, None if stopped == signal.SIGTRAP else stopped)

    def step(self):
        """False: it has come to the next mark."""
        libc.ptrace(SINGLESTEP, self.pid, None, None)
        stopped = self.wait()
        assert stopped in (signal.SIGTRAP, signal.SIGUSR1), self.status
        return stopped == signal.SIGTRAP

    def register(self, offset):
        return libc.ptrace(PEEKUSER, self.pid, offset, None) & (1 << 64) - 1

    def runtime(self):
        """Where its code lies."""
        with open("/proc/%d/maps" % self.pid) as maps:
            lines = [line.split() for line in maps if "/_tm.cpython" in line and "x" in line.split()[1]]
        return [int(at, 16) for at in lines[0][0].split("-")]

    def end(self):
        if self.status is None or not (os.WIFEXITED(self.status) or os.WIFSIGNALED(self.status)):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


class Table:
    """A copy of a table file, since a file in use is answered for as what it is: on the move."""

    def __init__(self, path):
        self.engine = tm_engine.load(str(corpses.ROOT / "reader"))
        self.target = tm_engine.Target()
        self.target.core_file = str(path) + ".copy"
        self.path, self.size = path, -1

    def changed(self):
        """Whether it has since last time; the copy has not any more."""
        size = os.stat(str(self.path)).st_size
        if size != self.size:
            self.size = size
            shutil.copyfile(str(self.path), self.target.core_file)
            self.views = []
            for path in (self.target.core_file, self.path):
                with open(str(path), "r+b") as file:
                    self.views.append(mmap.mmap(file.fileno(), size))
            self.places = [ctypes.addressof(ctypes.c_char.from_buffer(view)) for view in self.views]
            return True
        if not libc.memcmp(*self.places, size):
            return False
        libc.memcpy(*self.places, size)
        return True

    def ask(self, *words):
        return self.engine.answer(self.target, list(words))

    def top(self):
        return Said(self.ask("top", "--all", "--by", "traceback", "--no-source"))

    def check(self):
        return self.ask("check")


class Said:
    """What `tm top` says of memory."""

    def __init__(self, top):
        self.labelled = "incomplete" in top
        self.size, self.count = top["total"]["size"], top["total"]["count"]
        self.places = {}
        for stat in top["stats"]:
            place = tuple((frame["filename"], frame["lineno"], frame["name"]) for frame in stat["traceback"])
            self.places[place] = (stat["size"], stat["count"])

    def __eq__(self, other):
        return (self.size, self.count, self.places) == (other.size, other.count, other.places)

    def __repr__(self):
        return "%s%d bytes, %d blocks" % ("labelled, " if self.labelled else "", self.size, self.count)

    def less(self, before):
        """Where it has less than before: [(size, count)] of differences; None if it has more anywhere."""
        places = self.places.keys() | before.places.keys()
        found = [[b - a for a, b in zip(self.places.get(p, (0, 0)), before.places.get(p, (0, 0)))] for p in places]
        return None if any(min(pair) < 0 for pair in found) else [pair for pair in found if any(pair)]


def hooks(stepped, table):
    """Each time that the program is in the runtime: what was said before, what meanwhile, what afterwards, and the number of
    instructions."""
    first, last = stepped.runtime()
    table.changed()
    before, meanwhile, entered, instructions = table.top(), None, 0, 0
    while stepped.step():
        inside = first <= stepped.register(RIP) < last
        if meanwhile is None:
            if not inside:
                continue
            meanwhile, entered, instructions = [], stepped.register(RSP), 0
        if inside:
            instructions += 1
            if table.changed():
                meanwhile.append((table.top(), table.check()))
        elif stepped.register(RSP) > entered:
            table.changed()
            after = table.top()
            yield before, meanwhile, after, instructions
            before, meanwhile = after, None


def judge(before, meanwhile, after):
    """How many of the answers were labelled."""
    assert not before.labelled and not after.labelled, (before, after)
    for top, check in meanwhile:
        what = (before, top, after, check)
        assert abs(check["scan"]["count"] - check["total"]["count"]) <= 1, what
        assert min(before.count, after.count) - 1 <= top.count <= max(before.count, after.count), what
        assert top.places.keys() <= before.places.keys() | after.places.keys(), what
        if not top.labelled and top not in (before, after):
            # A block that moves is nowhere for a moment.
            gone, to_come = top.less(before), top.less(after)
            assert gone and to_come and len(gone) == len(to_come) == 1 and gone[0][1] == to_come[0][1] == 1, what
    return sum(top.labelled for top, _ in meanwhile)


CHANGES = list(step_target.CHANGES) if storm.LONG else ["known place", "grow", "new part of the map", "raw realloc", "track again"]


@pytest.mark.parametrize("change", CHANGES)
def test_every_instruction(newest, tmp_path, change):
    stepped = Stepped(newest, tmp_path, change)
    try:
        stepped.to_mark()
        table, hooked, steps, asked, labelled = Table(tmp_path / "a.tm"), 0, 0, 0, 0
        for before, meanwhile, after, instructions in hooks(stepped, table):
            labelled += judge(before, meanwhile, after)
            hooked, steps, asked = hooked + 1, steps + instructions, asked + len(meanwhile)
    finally:
        stepped.end()
    print("%s: %d instructions in %d hooks, %d states of the table, %d labelled" % (change, steps, hooked, asked, labelled))
    assert labelled and asked >= 2 * labelled
