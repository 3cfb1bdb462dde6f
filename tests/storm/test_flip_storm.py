# SPDX-License-Identifier: MIT
"""Evidence with any bit of its tables turned: no crash, no hang, and of each answer what it may be.

The same as without the damage, or labelled as a lower bound (3), or refused (2).  Besides, without a label, and as LAYOUT.md
says: another peak, pid or version; and `tm traceback`, which looks at one slot of the map, may find another block.
"""
import json
import random
import struct

import pytest

import storm
import corpses
from corefile import table_in

FLIPS = max(27, storm.N * 2 // 3)
ROOT, STATE, DIRECTORY, LEAF, STRINGS, LOCATIONS, STACKS, TOTALS, FOREIGN = range(9)
NAMES = ["root", "state", "directory", "leaf", "strings", "locations", "stacks", "totals", "foreign"]
VERBS = {
    "check": ["check"],
    "top": ["top", "--all", "--by", "traceback"],
    "blocks": ["blocks", "--all"],
    "sizes": ["sizes"],
    "tree": ["tree"],
    "export": ["export"],
}


def bytes_in_use(image, pieces):
    """{kind: [offset]} of bytes that hold something, or lie beside such."""
    found = {}
    for start, size, kind in pieces:
        used = found.setdefault(kind, [])
        for page in range(start, start + size, 4096):
            if not any(image[page : page + 4096]):
                continue
            words = struct.unpack_from("<512Q", image, page)
            for i in range(512):
                if any(words[max(0, i - 1) : i + 2]):
                    used.extend(range(page + 8 * i, page + 8 * i + 8))
    return found


def substance(said, foreign):
    """What an answer says of memory.  foreign: addresses and domains of foreign blocks stand there once."""
    said = {key: value for key, value in said.items() if key not in ("source", "tracing", "started")}
    said["total"] = {key: said["total"][key] for key in ("size", "count", "lost")}
    if foreign and "blocks" in said:
        said["blocks"] = [dict(block) for block in said["blocks"]]
        for block in said["blocks"]:
            if block["domain"] or int(block["address"], 16) < 1 << 20:
                block["domain"] = block["address"] = "foreign"
    for key in ("stats", "blocks"):
        if key in said:
            said[key] = sorted(said[key], key=lambda item: json.dumps(item, sort_keys=True))
    return said


@pytest.mark.parametrize("evidence_kind", ["kernel", "gcore", "file"])
def test_any_bit_turned(body, evidence_kind):
    path = body(evidence_kind)
    watch = storm.Watch()
    whole = {verb: watch.ask(path, *words) for verb, words in VERBS.items()}
    assert {answer.status for answer in whole.values()} == {0}
    address = next(block["address"] for block in whole["blocks"].said["blocks"] if not block["domain"])
    trace = watch.ask(path, "traceback", address).said
    with open(path, "rb") as file:
        image = file.read()
    used = bytes_in_use(image, table_in(path))
    assert set(used) == set(range(9))
    chance = random.Random("%s/%d" % (evidence_kind, storm.SEED))
    told = {kind: {"right": 0, "labelled": 0, "refused": 0, "peak or name": 0, "one block": 0} for kind in used}
    with open(path, "r+b", buffering=0) as file:
        for number in range(FLIPS):
            kind = number % 9
            at = chance.choice(used[kind])
            file.seek(at)
            file.write(bytes([image[at] ^ 1 << chance.randrange(8)]))
            answers = {}
            for verb, words in VERBS.items():
                # The sanitizers see every bit once; the other answers come from the same engine.
                sanitized = verb in ("check", list(VERBS)[1 + number // 9 % 5])
                answers[verb] = watch.ask(path, *words, tm=storm.SANITIZED if sanitized else corpses.TM)
            for verb, answer in answers.items():
                if answer.status == 0:
                    where = (evidence_kind, NAMES[kind], hex(at), verb, answer.answer)
                    assert substance(answer.said, kind == FOREIGN) == substance(whole[verb].said, kind == FOREIGN), where
            one = watch.ask(path, "traceback", address, tm=corpses.TM)
            other = one.status == 2 or {**one.said, "source": 0} != {**trace, "source": 0}
            status = max(answer.status for answer in answers.values())
            same = all(answers[verb].answer.out == whole[verb].answer.out for verb in VERBS)
            if 2 in [answer.status for answer in answers.values()]:
                told[kind]["refused"] += 1
            elif status == 3:
                told[kind]["labelled"] += 1
            elif not same:
                assert kind in (ROOT, STATE, FOREIGN), (NAMES[kind], hex(at))
                told[kind]["peak or name"] += 1
            elif other:
                assert kind in (ROOT, STATE, LEAF), (NAMES[kind], hex(at), one.answer)
                told[kind]["one block"] += 1
            else:
                told[kind]["right"] += 1
            file.seek(at)
            file.write(image[at : at + 1])
    for kind in sorted(told):
        print("%s, %s: %s" % (evidence_kind, NAMES[kind], ", ".join("%s %d" % item for item in told[kind].items() if item[1])))
    print("%s: %d bits; %s" % (evidence_kind, FLIPS, storm.slowest(watch.seconds)))
    assert sum(story["labelled"] for story in told.values()) > FLIPS // 10
