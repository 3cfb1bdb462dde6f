# SPDX-License-Identifier: MIT
"""Evidence cut at any byte, and with any bit of its tables turned: no crash, no hang, no wrong total without a label.

`tm check` tells of everything.  `tm top` does not look at single blocks, and cannot tell that a number of blocks is wrong
by a little; sizes it can, because they are kept twice.
"""
import os
import random
import resource
import shutil

import pytest

import storm
import corpses
import evidence
from corefile import table_in

CUTS = max(10, storm.N // 2)
FLIPS = max(8, storm.N // 5)
KINDS = ["kernel", "gcore", "file", "zstd"]

LITTLE = """\
import os, sys
keep = [bytes(100 + i % 7) for i in range(3000)]
how = sys.argv[1]
if how == "wait":
    print("ready", flush=True)
    sys.stdin.read()
os.kill(os.getpid(), 9 if how == "kill" else 6)
"""


@pytest.fixture(scope="module")
def bodies(newest, tmp_path_factory):
    """One piece of evidence of each kind, of a small program."""
    found = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind)
        program = evidence.write_program(folder, LITTLE)
        argv = corpses.traced(newest, program)
        if kind == "kernel":
            if corpses.kernel_writes_cores() is None:
                found[kind] = corpses.kernel_core([*argv, "abort"], folder)
        elif kind == "file":
            env = corpses.clean_environment(PYTHONTM_FILE=str(folder / "a.tm"))
            evidence.run_traced(newest, folder, program, "kill", env=env)
            found[kind] = folder / "a.tm"
        else:
            found[kind] = corpses.gcore_core([*argv, "wait"], folder)
        if kind == "zstd":
            packed = folder / "core.zst"
            corpses.subprocess.check_call(["zstd", "-q", "-1", "-o", str(packed), str(found[kind])])
            found[kind] = packed
    return found


def body(bodies, kind, folder):
    if kind not in bodies:
        pytest.skip(corpses.kernel_writes_cores())
    return shutil.copy(bodies[kind], folder / "body")


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Watch:
    """Processor time of each try."""

    def __init__(self):
        self.seconds = []

    def ask(self, *words):
        before = processor_seconds()
        answer = storm.Try(*words)
        self.seconds.append(processor_seconds() - before)
        assert self.seconds[-1] <= storm.SECONDS, (words, self.seconds[-1])
        return answer


@pytest.mark.parametrize("kind", KINDS)
def test_cut_anywhere(bodies, tmp_path, kind, record_property):
    path = body(bodies, kind, tmp_path)
    watch = Watch()
    whole = watch.ask(path, "check")
    assert whole.status == 0
    size = os.path.getsize(path)
    numbers = random.Random(kind)
    cuts = {1, 63, 64, 4095, 4096, size - 1}
    # Half of them where the table lies, which is most often the end.
    first = min(at for at, _ in table_in(path)) if kind != "zstd" else size // 2
    cuts |= {numbers.randrange(1, size) for _ in range(CUTS // 2)}
    cuts |= {numbers.randrange(first, size) for _ in range(CUTS // 2)}
    seen = {0: 0, 2: 0, 3: 0}
    for cut in sorted(cuts, reverse=True):  # so that one copy serves all
        os.truncate(path, cut)
        for verb in ("top", "check"):
            answer = watch.ask(path, verb)
            seen[answer.status] += 1
            if answer.status == 0:
                assert answer.total() == whole.total(), (cut, answer.answer)
            elif answer.status == 3:
                assert answer.said.get("incomplete") or answer.said.get("findings"), (cut, answer.answer)
                assert answer.said["total"]["size"] <= whole.said["total"]["size"], (cut, answer.answer)
    print("%s: %d cuts, whole %d, lower bound %d, refused %d; %s" % (
        kind, len(cuts), seen[0], seen[3], seen[2], storm.slowest(watch.seconds)))  # fmt: skip


@pytest.mark.parametrize("kind", ["kernel", "gcore", "file"])
def test_any_bit_turned(bodies, tmp_path, kind):
    path = body(bodies, kind, tmp_path)
    watch = Watch()
    whole = watch.ask(path, "check").total()
    with open(path, "rb") as file:
        image = file.read()
    # Where something is: a bit of a page that is all zeros belongs to nobody.
    pages = [
        at for start, size in table_in(path) for at in range(start, start + size, 4096) if any(image[at : at + 4096])
    ]
    numbers = random.Random(kind)
    seen = {0: 0, 2: 0, 3: 0}
    quiet = 0
    with open(path, "r+b", buffering=0) as file:
        for _ in range(FLIPS):
            page = numbers.choice(pages)
            used = [at for at in range(page, page + 4096) if image[at]]
            at = numbers.choice(used) if numbers.random() < 0.7 else page + numbers.randrange(4096)
            file.seek(at)
            file.write(bytes([image[at] ^ 1 << numbers.randrange(8)]))
            check, top = watch.ask(path, "check"), watch.ask(path, "top")
            where = (kind, hex(at), check.answer, top.answer)
            if check.status == 0:
                assert check.total() == whole, where
            if top.status == 0:
                assert top.total()["size"] == whole["size"], where
                # A number of blocks that is wrong by a little is check's to tell.
                quiet += top.total() != whole
                assert top.total() == whole or check.status != 0, where
            seen[check.status] += 1
            file.seek(at)
            file.write(image[at : at + 1])
    print("%s: %d bits, unharmed %d, told %d, refused %d, a count that only check doubts %d; %s" % (
        kind, FLIPS, seen[0], seen[3], seen[2], quiet, storm.slowest(watch.seconds)))  # fmt: skip
