# SPDX-License-Identifier: MIT
"""A storm of allocations from several threads, killed at a random moment: every corpse reads.  Its totals are those of a full
scan but for what each thread was just doing, what a witness saw alive is there, and `lost` says how much is not."""
import random
import shutil
import signal
import struct
import time
from pathlib import Path

import pytest

import storm
import corpses
import evidence
from interpreters import PYTHONS

TARGET = Path(__file__).resolve().parent / "storm_target.py"
BIGGEST = 4 << 20  # of the blocks that it makes

KINDS = {
    "file": signal.SIGKILL,
    "full": signal.SIGKILL,  # a table file that could not grow
    "segv": signal.SIGSEGV,
    "abrt": signal.SIGABRT,
    "bus": signal.SIGBUS,
}
IN_FILE = ("file", "full")


def in_our_hook(core):
    """Whether the thread that was killed stood in the runtime's code (NT_PRSTATUS has its rip)."""
    with open(core, "rb") as file:
        image = file.read(1 << 20)
    at = image.find(b"CORE\0\0\0\0")
    rip = struct.unpack_from("<Q", image, at + 8 + 112 + 16 * 8)[0]
    # NT_FILE: count, page size, {start, end, offset} ..., then the names
    note = image.find(struct.pack("<I", 0x46494C45))
    size, count = struct.unpack_from("<I", image, note - 4)[0], struct.unpack_from("<Q", image, note + 12)[0]
    entries = note + 12 + 16
    strings = image[entries + 24 * count : note + 12 + size].split(b"\0")
    for i in range(count):
        start, end = struct.unpack_from("<QQ", image, entries + 24 * i)
        if start <= rip < end:
            return b"/_tm.cpython" in strings[i]
    return False


class Corpse:
    """One storm, killed."""

    def __init__(self, python, folder, kind, chance):
        self.kind, self.folder = kind, folder
        self.gil, self.raw = chance.randrange(4), chance.randrange(4)
        self.threads = self.gil + self.raw + 1
        env = corpses.clean_environment(**({"PYTHONTM_FILE": "storm.tm"} if kind in IN_FILE else {}))
        words = [TARGET, self.gil, self.raw, chance.random(), "witness", *(["full"] if kind == "full" else [])]
        process = corpses.start(corpses.traced(python, *words, n=chance.choice([1, 5, 25])), folder, env=env)
        try:
            corpses.wait_until_ready(process)
            time.sleep(chance.expovariate(1 / 0.05))
            if kind not in IN_FILE and corpses.kernel_writes_cores() is not None:
                corpses.gcore(process.pid, folder)
                process.kill()
            else:
                process.send_signal(KINDS[kind])
        finally:
            if process.poll() is None and process.returncode is None:
                try:
                    _, err = process.communicate(timeout=60)
                except Exception:
                    process.kill()
                    raise
        assert process.returncode in (-KINDS[kind], -signal.SIGKILL), (process.returncode, err)
        (self.path,) = [folder / "storm.tm"] if kind in IN_FILE else folder.glob("core*")

    def ask(self, *words, **how):
        answer = storm.Try(self.path, *words, **how)
        assert answer.status in (0, 3), answer.answer
        return answer

    def witnessed(self):
        """What was alive and left alone: {address: size}."""
        alive, changing = {}, 0
        for busy, address, size in struct.iter_unpack("<QQQ", (self.folder / "witness").read_bytes()):
            changing += busy
            if address and not busy:
                alive[address] = size
        assert changing <= self.threads
        return alive

    def judge(self):
        """What its story is."""
        check = self.ask("check")
        said = check.said
        missing = [note for note in said.get("incomplete", []) if "do not add up" not in note]
        assert not missing, check.answer
        total, scan = said["total"], said["scan"]
        assert self.kind == "full" or total["lost"] == 0, check.answer
        assert total["count"] > 300, check.answer
        blocks = abs(scan["count"] - total["count"])
        assert blocks <= self.threads, check.answer
        assert abs(scan["size"] - total["size"]) <= self.threads * BIGGEST, check.answer
        # A realloc takes a block from one stack and gives it to another: two for each thread.
        assert said["different_stacks"] <= 2 * self.threads, check.answer

        top = self.ask("top", "3")
        assert top.said["total"] == total and top.said["stats"], top.answer
        assert top.status == 0 or check.status == 3, (top.answer, check.answer)

        found = self.ask("blocks", "--all", "--no-source", tm=corpses.TM).said["blocks"]
        assert len(found) == scan["count"]
        found = {int(block["address"], 16): block["size"] for block in found}
        alive = self.witnessed()
        gone = {address for address, size in alive.items() if found.get(address) != size}
        assert len(gone) <= total["lost"], (gone, check.answer)
        self.differs, self.blocks, self.lost, self.alive = check.status != 0, blocks, total["lost"], len(alive)
        self.in_hook = self.kind not in IN_FILE and in_our_hook(self.path)


@pytest.mark.parametrize("kind", KINDS)
def test_crash_storm(kind, tmp_path):
    started, told = time.monotonic(), []
    for number in range(-(-storm.N // len(KINDS))):
        folder = tmp_path / str(number)
        folder.mkdir()
        chance = random.Random("%s/%d/%d" % (kind, storm.SEED, number))
        corpse = Corpse(PYTHONS[number % len(PYTHONS)], folder, kind, chance)
        corpse.judge()
        told.append(corpse)
        shutil.rmtree(str(folder))
    print("%s: %d corpses, all read; %d caught in the middle of a change, by at most %d blocks; %d witnessed blocks; %d struck in a "
          "hook; %d had lost something; %.0f s" % (
        kind, len(told), sum(corpse.differs for corpse in told), max(corpse.blocks for corpse in told),
        sum(corpse.alive for corpse in told), sum(corpse.in_hook for corpse in told), sum(corpse.lost > 0 for corpse in told),
        time.monotonic() - started))  # fmt: skip
    assert any(corpse.alive for corpse in told)
    assert kind != "full" or all(corpse.lost for corpse in told)


@pytest.mark.skipif(corpses.kernel_writes_cores() is not None, reason=str(corpses.kernel_writes_cores()))
def test_struck_inside_the_hook(newest, tmp_path):
    """GIVEN one thread that does nothing but allocate, WHEN SIGSEGV strikes, THEN sooner or later inside the hook."""
    text = "print('ready', flush=True)\nwhile True: [bytes(i) for i in range(600)]\n"
    for number in range(max(50, storm.N // 20)):  # pydebug builds spend less of their time there
        folder = tmp_path / str(number)
        folder.mkdir()
        program = evidence.write_program(folder, text)
        process = corpses.start(corpses.traced(newest, program), folder)
        corpses.wait_until_ready(process)
        time.sleep(random.random() / 50)
        process.send_signal(signal.SIGSEGV)
        process.communicate(timeout=60)
        (core,) = folder.glob("core*")
        check = storm.Try(core, "check")
        assert check.status in (0, 3), check.answer
        assert abs(check.said["scan"]["count"] - check.said["total"]["count"]) <= 1, check.answer
        inside = in_our_hook(core)
        shutil.rmtree(str(folder))
        if inside:
            return
    raise AssertionError("never inside the hook")
