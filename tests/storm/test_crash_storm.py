# SPDX-License-Identifier: MIT
"""A storm of allocations from several threads, killed at a random moment: every corpse reads, and its totals are those of
a full scan but for what each thread was just doing."""
import os
import random
import shutil
import signal
import struct
import time

import pytest

import storm
import corpses
import evidence
from interpreters import PYTHONS

THREADS = 4

# Two threads under the GIL (blocks that come, go, grow; and the main thread, which only allocates, so that what strikes it
# strikes in the hooks often enough), two without (the raw domain, by ctypes, which lets go of the GIL).
PROGRAM = """\
import ctypes, random, sys, threading

raw = ctypes.CDLL(None)
for name, result, arguments in (
    ("PyMem_RawMalloc", ctypes.c_void_p, [ctypes.c_size_t]),
    ("PyMem_RawRealloc", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t]),
    ("PyMem_RawFree", None, [ctypes.c_void_p]),
):
    function = getattr(raw, name)
    function.restype, function.argtypes = result, arguments

def under_gil(seed):
    chance, keep = random.Random(seed), {}
    while True:
        key = chance.randrange(500)
        how = chance.randrange(4)
        if how == 0:
            keep[key] = bytes(chance.randrange(2000))
        elif how == 1:
            keep[key] = [bytearray(10) for i in range(chance.randrange(20))]
        elif how == 2 and isinstance(keep.get(key), list):
            for item in keep[key]:
                item.extend(b"x" * chance.randrange(100))
        else:
            keep.pop(key, None)

def without_gil(seed):
    chance, keep = random.Random(seed), [None] * 200
    while True:
        at = chance.randrange(200)
        if keep[at] is None:
            keep[at] = raw.PyMem_RawMalloc(chance.randrange(1, 5000))
        elif chance.randrange(3):
            keep[at] = raw.PyMem_RawRealloc(keep[at], chance.randrange(1, 5000))
        else:
            raw.PyMem_RawFree(keep[at])
            keep[at] = None

for number, function in enumerate((under_gil, without_gil, without_gil)):
    threading.Thread(target=function, args=(number,), daemon=True).start()
print("ready", flush=True)
while True:
    [bytes(i) for i in range(600)]
"""

KINDS = {"file": signal.SIGKILL, "segv": signal.SIGSEGV, "abrt": signal.SIGABRT}


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


def strike(python, folder, kind, chance):
    """Kills a storm; the path of what is left."""
    program = evidence.write_program(folder, PROGRAM, "storm_program.py")
    env = corpses.clean_environment(**({"PYTHONTM_FILE": "storm.tm"} if kind == "file" else {}))
    process = corpses.start(corpses.traced(python, program, n=chance.choice([1, 5, 25])), folder, env=env)
    try:
        corpses.wait_until_ready(process)
        time.sleep(chance.expovariate(1 / 0.03))
    finally:
        process.send_signal(KINDS[kind])
        _, err = process.communicate(timeout=60)
    assert process.returncode == -KINDS[kind], (process.returncode, err)
    if kind == "file":
        return folder / "storm.tm"
    (core,) = folder.glob("core*")
    return core


def judge(path):
    """The corpse's story: None if all is exact, otherwise by how much it differs."""
    check = storm.Try(path, "check")
    assert check.status in (0, 3), check.answer
    said = check.said
    missing = [note for note in said.get("incomplete", []) if "do not add up" not in note]
    assert not missing, check.answer
    assert said["total"]["lost"] == 0, check.answer
    blocks = abs(said["scan"]["count"] - said["total"]["count"])
    assert blocks <= THREADS, check.answer
    # A realloc takes a block from one stack and gives it to another: two for each thread.
    assert said["different_stacks"] <= 2 * THREADS, check.answer
    top = storm.Try(path, "top", "3")
    assert top.status in (0, 3) and top.said["total"]["count"] == said["total"]["count"]
    assert top.status == 0 or check.status == 3
    assert top.said["stats"], top.answer
    return None if check.status == 0 else (blocks, said["different_stacks"])


def test_crash_storm(tmp_path):
    kinds = list(KINDS) if corpses.kernel_writes_cores() is None else ["file"]
    seed = int(os.environ.get("STORM_SEED") or 0)
    told, hooks, started = {kind: [] for kind in kinds}, [], time.monotonic()
    for number in range(storm.N):
        chance = random.Random("%d/%d" % (seed, number))
        kind = kinds[number % len(kinds)]
        folder = tmp_path / str(number)
        folder.mkdir()
        path = strike(PYTHONS[number // len(kinds) % len(PYTHONS)], folder, kind, chance)
        told[kind].append(judge(path))
        if kind == "segv":
            hooks.append(in_our_hook(path))
        shutil.rmtree(folder)
    for kind in kinds:
        differ = [story for story in told[kind] if story]
        print("%s: %d corpses, all read; %d caught in the middle of a change, by at most %d blocks" % (
            kind, len(told[kind]), len(differ), max((blocks for blocks, _ in differ), default=0)))  # fmt: skip
    print("SIGSEGV struck inside the hooks %d of %d times; %.0f s in all" % (
        sum(hooks), len(hooks), time.monotonic() - started))  # fmt: skip


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
        judge(core)
        inside = in_our_hook(core)
        shutil.rmtree(folder)
        if inside:
            return
    raise AssertionError("never inside the hook")
