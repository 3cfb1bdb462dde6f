# SPDX-License-Identifier: MIT
"""A table file is a target like a core: whole, cut anywhere, damaged, and not one at all."""
import os
import random
import shutil
import struct

import pytest

import corpses
import evidence
from corefile import PAGE, ROOT_MAGIC, chunks
from evidence import ask

@pytest.fixture(scope="module")
def file(newest, tmp_path_factory):
    return evidence.killed_with_file(newest, tmp_path_factory.mktemp("file"))


def test_survives_sigkill(python, tmp_path):
    """GIVEN a program killed by SIGKILL, THEN its table file answers everything, and sums up."""
    path = evidence.killed_with_file(python, tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    total = evidence.all_is_well(path)
    stat = evidence.leaking_line(path)
    assert 20000 <= stat["count"] <= 20001 and stat["size"] > 20000 * 1000
    assert total["size"] >= stat["size"]
    block = ask(path, "blocks", "--json", "--limit", 1).json()["blocks"][0]
    traceback = ask(path, "traceback", block["address"]).out
    assert "allocated at" in traceback
    info = ask(path, "info", "--json").json()
    assert str(info["pid"]) == path.name.split(".")[1]


def test_root_stands_first(file):
    image = file.read_bytes()
    assert image.startswith(ROOT_MAGIC)
    kinds = {kind for _, kind, _, _ in chunks(image)}
    assert {1, 2, 3, 4, 5, 6, 7} <= kinds


def test_file_of_a_live_process(newest, tmp_path):
    """GIVEN a process that runs, THEN its file answers meanwhile."""
    program = evidence.write_program(tmp_path)
    process = corpses.start(
        corpses.traced(newest, program, "wait"), tmp_path, env=corpses.clean_environment(PYTHONTM_FILE="live.tm")
    )
    try:
        corpses.wait_until_ready(process)
        evidence.leaking_line(tmp_path / "live.tm")
    finally:
        process.kill()
        process.communicate()
    evidence.all_is_well(tmp_path / "live.tm")


@pytest.mark.skipif(corpses.kernel_writes_cores() is not None, reason=str(corpses.kernel_writes_cores()))
def test_core_leads_to_the_file(newest, tmp_path):
    """GIVEN the core of a program whose table was in a file, THEN the sentence says where, and that works."""
    program = evidence.write_program(tmp_path)
    env = corpses.clean_environment(PYTHONTM_FILE="kept.tm")
    core = _core(newest, program, tmp_path, env)
    answer = ask(core, "top")
    assert answer.status == 2 and "Try: tm top %s" % (tmp_path / "kept.tm") in answer.err, answer
    evidence.leaking_line(tmp_path / "kept.tm")


def _core(python, program, folder, env):
    process = corpses.start(corpses.traced(python, program, "abort"), folder, env=env)
    process.communicate(timeout=60)
    (core,) = folder.glob("core*")
    return core


def test_file_cut_anywhere(file, tmp_path):
    """GIVEN a file that ends too early, THEN an answer that is true, one that is labelled, or a refusal."""
    whole = ask(file, "top", "--json").json()["total"]
    image = file.read_bytes()
    cut = tmp_path / "cut.tm"
    statuses = set()
    sizes = [1, 15, 16, 100, 1191, 1192, 4095, 4096, 4097, 4159, 4160, 8192]
    sizes += [random.Random(7).randrange(len(image)) for _ in range(20)] + [len(image) - 1]
    for size in sizes:
        cut.write_bytes(image[:size])
        for verb in ("top", "check"):
            answer = ask(cut, verb, "--json")
            statuses.add(answer.status)
            if answer.status == 0:
                assert answer.json()["total"] == whole, size
            elif answer.status == 3:
                assert answer.json().get("incomplete") or answer.json()["findings"], size
                assert answer.json()["total"]["size"] <= whole["size"], size
        if 16 <= size < 4096:
            assert "truncated" in answer.err
    assert {2, 3} <= statuses


def test_chunks_with_damaged_heads(file, tmp_path):
    """GIVEN a head that is wrong, THEN what lies behind it is found all the same, and what is missing is said."""
    whole = ask(file, "top", "--json").json()["total"]
    image = file.read_bytes()
    bent = tmp_path / "bent.tm"
    kinds = {}
    for at, kind, _, _ in chunks(image):
        kinds.setdefault(kind, at)
    for kind, at in kinds.items():
        for offset, value in ((0, b"\0" * 8), (0, b"\0" * 64), (24, struct.pack("<Q", 1 << 50)), (16, b"\xff" * 8)):
            damaged = bytearray(image)
            damaged[at + offset : at + offset + len(value)] = value
            bent.write_bytes(damaged)
            answer = ask(bent, "check", "--json")
            if answer.status == 0:
                assert answer.json()["total"] == whole
            elif answer.status == 2:
                assert kind == 1, "only without its state is a table worth nothing: %s" % answer


def test_a_page_between_chunks_that_was_never_used(file, tmp_path):
    """GIVEN a process killed between making room and writing the head, THEN nothing is missing."""
    image = file.read_bytes()
    places = [at for at, _, _, _ in chunks(image)]
    at = places[len(places) // 2]
    holed = tmp_path / "holed.tm"
    holed.write_bytes(image[:at] + b"\0" * (PAGE * 3) + image[at:])
    assert evidence.all_is_well(holed) == evidence.all_is_well(file)


@pytest.mark.parametrize(
    "offset, value, words",
    [
        (0, b"\0" * 4096, "before tracing had begun"),
        (16, struct.pack(">I", 0x01020304), "byte order"),
        (20, struct.pack("<I", 99), "newer tm"),
        (24, struct.pack("<Q", 0x1234), "damaged"),
        (24, b"\xff" * 8, "damaged"),
        (40, b"\0" * 4, "damaged"),
        (32, b"\0" * 8, "never started"),
    ],
)
def test_roots_that_are_refused(file, tmp_path, offset, value, words):
    bent = tmp_path / "bent.tm"
    shutil.copy(file, bent)
    with open(bent, "r+b") as out:
        out.seek(offset)
        out.write(value)
    answer = ask(bent, "top")
    assert answer.status == 2 and words in answer.err, answer


def test_foreign_files(tmp_path):
    for content in (b"\0" * 100000, b"\x89PNG\r\n\x1a\n" + b"x" * 9000, os.urandom(8192), ROOT_MAGIC):
        path = tmp_path / "foreign.tm"
        path.write_bytes(content)
        assert ask(path, "top").status == 2
