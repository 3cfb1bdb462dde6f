# SPDX-License-Identifier: MIT
"""The oracle nobody else has: the process itself takes a snapshot, writes it down, and dies.  The faces must say the
same of its corpse (oracles.py tells what "the same" is)."""
import json
import os

import pytest

import corpses
from oracles import EVERYTHING, HERE, agree, copy_program, of_the_answer


@pytest.mark.parametrize("group", ["lineno", "filename", "traceback"])
def test_the_dead_process_says_what_it_said_alive(oracle, group):
    """GIVEN a core, WHEN all three faces are asked for all lines, THEN they say what the process wrote down."""
    report = oracle.report
    assert not os.path.exists("/proc/%d" % report["pid"]), "it must be dead"
    answers = {
        name: ask(oracle.core, "top", EVERYTHING, "--by", group, "--json") for name, ask in corpses.FACES.items()
    }
    for name, answer in answers.items():
        assert answer.status == 0, (name, answer)
    agree(report, group, answers["cli"].json())
    # Byte for byte the same.
    assert answers["gdb"].out == answers["cli"].out
    assert answers["lldb"].out == answers["cli"].out


def test_the_known_lines_are_there(oracle, python):
    """GIVEN what oracle_parts.py does, THEN numbers that can be told from its source alone."""
    answer = corpses.cli(oracle.core, "top", EVERYTHING, "--json").json()
    seen = {(os.path.basename(line.frames[0][0]), line.frames[0][1]): line for line in of_the_answer(answer)}

    def at(text, name="oracle_parts.py"):
        number = 1 + next(i for i, line in enumerate((HERE / name).read_text().splitlines()) if text in line)
        return seen.get((name, number))

    header = python.object_header + 17  # of a bytes object: size, hash, and the NUL
    small = sum(header + 40 + i % 64 for i in range(5000))
    assert small <= at("bytes(40 + i % 64)").size <= small + 100_000  # the list itself
    assert at("bytes((1 << 20) + 1)").size == header + (1 << 20) + 1
    assert (3 << 20) <= at("bytearray(3 << 20)").size <= (3 << 20) + 4096
    assert at("bytes(900)") is None or at("bytes(900)").count <= 1  # freed, all of them
    assert 500 * (700 + header) <= at("bytes(700)").size <= 500 * (700 + header) + 10_000
    deep = at("bytes(123_456)", "oracle_deep.py")
    assert 2 * (123_456 + header) <= deep.size <= 2 * (123_456 + header) + 1000


def test_tracebacks_of_objects(oracle):
    """GIVEN addresses of objects (not all of them starts of blocks), THEN the traceback that Python saw."""
    checked = 0
    for entry in oracle.report["objects"]:
        for offset in (0, 8):
            answer = corpses.cli(oracle.core, "traceback", hex(entry["address"] + offset), "--json")
            if entry["traceback"] is None:
                continue
            assert answer.status == 0, (entry["name"], offset, answer)
            frames = [[frame["filename"], frame["lineno"]] for frame in answer.json()["traceback"]]
            assert frames == entry["traceback"], (entry["name"], offset)
            checked += 1
    assert checked >= 30
    deep = next(entry for entry in oracle.report["objects"] if entry["name"] == "very deep")
    assert len(deep["traceback"]) == oracle.report["limit"] == 25


def test_tracebacks_in_the_debuggers(oracle):
    entry = oracle.report["objects"][0]
    answers = [ask(oracle.core, "traceback", hex(entry["address"]), "--json") for ask in corpses.FACES.values()]
    assert [[f["filename"], f["lineno"]] for f in answers[0].json()["traceback"]] == entry["traceback"]
    assert answers[0].out == answers[1].out == answers[2].out


def test_an_address_that_is_not_traced(oracle):
    for address in ("0x10", "0x7fffffffe000"):
        answer = corpses.cli(oracle.core, "traceback", address)
        assert answer.status == 2 and "not in a live traced block" in answer.err and answer.out == "", answer


@pytest.mark.parametrize("face", sorted(corpses.FACES))
def test_live(python, face, tmp_path):
    """GIVEN the same program alive and standing still, THEN attached faces say what it said."""
    report = tmp_path / "report.json"
    process = corpses.start(corpses.traced(python, copy_program(tmp_path), report, "wait"), tmp_path)
    try:
        corpses.wait_until_ready(process)
        answer = corpses.FACES[face](process.pid, "top", EVERYTHING, "--json")
        assert process.poll() is None, "looking at it must not kill it"
    finally:
        process.kill()
        process.communicate()
    assert answer.status == 0, answer
    agree(json.loads(report.read_text()), "lineno", answer.json())
