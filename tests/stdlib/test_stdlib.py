# SPDX-License-Identifier: MIT
"""The standard library's tracemalloc, read from outside, against what the process itself wrote down.

Equal to the byte, but for what ran between the snapshot and the death: lines of the oracle itself from its snapshot
on, and the modules that it then used.
"""
import os
import shutil

import pytest

from e2e import corpses
from stdlib_cases import ORACLE, copied, environment, kernel_case

WAYS = ["kernel", "gcore", "live"]
DOMAIN = 389047


@pytest.fixture(params=WAYS)
def case(request, cases):
    return cases[request.param]


def ran_later(answers, stack):
    """Whether what this traceback holds may differ: lines of the oracle from its snapshot on, and what they call."""
    filename, lineno = stack[0]
    if os.path.basename(filename) == "tracemalloc.py" or filename == "<unknown>":
        return True
    return filename == str(ORACLE) and lineno >= answers["snapshot_line"]


def assert_equal(found, expected):
    """Equal, but for a few names: caches of the interpreter own some, and a lookup between snapshot and death throws
    another one out (up to 3.11 the cache of method lookups: Objects/typeobject.c, _PyType_Lookup)."""
    for k in [k for k in expected if found.get(k) != expected[k]][:3]:
        (size, count), (expected_size, expected_count) = found.get(k) or (0, 0), expected[k]
        if 1 <= expected_count - count <= 3 and 0 < expected_size - size < 100 * (expected_count - count):
            found = {**found, k: expected[k]}
    assert found == expected


def grouped(stacks, key):
    groups = {}
    for stack, size, count in stacks:
        entry = groups.setdefault(key(stack), [0, 0])
        entry[0] += size
        entry[1] += count
    return groups


def stats(case, group):
    answer = case.ask("top", "--all", "--json", "--by", group)
    assert answer.status == 0, answer
    return answer.json()


def stack_of(item):
    return tuple((frame["filename"], frame["lineno"]) for frame in item["traceback"])


def test_every_traceback_is_equal(case):
    """GIVEN a process with its own snapshot THEN each traceback has the same bytes and blocks from outside."""
    answers = case.answers
    found = {stack_of(item): [item["size"], item["count"]] for item in stats(case, "traceback")["stats"]}
    expected = grouped(answers["stacks"], lambda stack: tuple(map(tuple, stack)))
    later = {stack for stack in list(found) + list(expected) if ran_later(answers, stack)}
    assert_equal(
        {k: v for k, v in found.items() if k not in later}, {k: v for k, v in expected.items() if k not in later}
    )
    assert len(expected) - len(later) > 100
    assert sum(found[stack][0] for stack in found if stack in later) < 8_000_000


@pytest.mark.parametrize("group", ["lineno", "filename"])
def test_groups_and_totals(case, group):
    answers = case.answers
    answer = stats(case, group)
    key = (lambda stack: tuple(stack[0])) if group == "lineno" else (lambda stack: stack[0][0])
    changed = {key(stack) for stack, _, _ in answers["stacks"] if ran_later(answers, stack)} | {str(ORACLE)}
    expected = {k: v for k, v in grouped(answers["stacks"], key).items() if k not in changed}
    found = {}
    for item in answer["stats"]:
        frame = item["traceback"][0]
        found[(frame["filename"], frame["lineno"]) if group == "lineno" else frame["filename"]] = [
            item["size"],
            item["count"],
        ]
    assert_equal({k: found.get(k) for k in expected}, expected)
    assert sum(v[0] for v in found.values()) == answer["total"]["size"]
    assert sum(v[1] for v in found.values()) == answer["total"]["count"]
    assert answer["total"]["peak"] >= max(answers["peak"], answer["total"]["size"])
    assert "incomplete" not in answer


def test_names_of_every_kind(case):
    """ASCII, Latin-1, UCS2, UCS4, undecodable bytes, and a name of 3000 characters."""
    names = {item["traceback"][0]["filename"] for item in stats(case, "filename")["stats"]}
    assert {"ascii_file.py", "d\u00e9j\u00e0.py", "\u65e5\u672c\u8a9e.py", "d\u00e9j\u00e0_\u65e5\u672c_\U0001f600.py"} <= names
    assert os.fsdecode(b"bad\xff\xfe.py") in names
    assert "x" * 3000 + ".py" in names


def test_info(case):
    answer = case.ask("info", "--json").json()
    answers = case.answers
    assert answer["tracer"] == "tracemalloc"
    assert answer["python"] == answers["version"]
    assert answer["frame_limit"] == answers["nframe"]
    assert answer["pid"] == answers["pid"]
    assert answer["tracing"] is True
    assert answer["proof"].startswith("all %d traces" % answer["total"]["count"])


def test_tracer_option(case):
    assert case.ask("top", "--json", "--tracer", "stdlib").json() == case.ask("top", "--json").json()
    answer = case.ask("top", "--tracer", "tm")
    assert answer.status == 2 and not answer.out


def test_check(case):
    answer = case.ask("check")
    assert answer.status == 0, answer


def test_traceback_of_an_address(case):
    """As get_object_traceback() has it; and of a plain instance, where 3.11 itself has none (gh-101430)."""
    expected = {what: frames for what, _, frames in case.answers["asked"]}
    line = expected["dict"]
    for what, address, frames in case.answers["asked"]:
        answer = case.ask("traceback", "--json", hex(address))
        assert answer.status == 0, (what, answer)
        answer = answer.json()
        found = [[frame["filename"], frame["lineno"]] for frame in answer["traceback"]]
        if what == "inside bytearray":
            frames = expected["bytearray"]
            block = int(answer["block"]["address"], 16)
            assert block < address < block + answer["block"]["size"]
            # the buffer belongs to the bytearray, but was allocated by itself
            assert found == frames
        elif frames is None:
            assert what == "plain" and case.answers["version"].startswith("3.11.")
            assert found == line
        else:
            assert found == frames, what


def test_foreign_domain(case):
    """A block of another domain is found by its name; nothing lies inside of it."""
    base = 0x4000_0000_0000
    answer = case.ask("traceback", "--json", hex(base + 4096)).json()
    assert answer["block"] == {"address": hex(base + 4096), "size": 100, "domain": DOMAIN}
    assert case.ask("traceback", hex(base + 4096 + 1)).status == 2
    assert [DOMAIN, 100_000, 1000] in case.answers["domains"]
    answer = case.ask("top", "--json", "--domain", str(DOMAIN)).json()
    assert answer["selected"] == {"size": 100_000, "count": 1000}


def test_snapshot_file(case, tmp_path):
    """What dump writes says the same as its source."""
    file = tmp_path / "snapshot"
    assert case.ask("dump", file).status == 0
    source, copy = case.ask("top", "--all", "--json").json(), corpses.cli(file, "top", "--all", "--json").json()
    assert (copy["stats"], copy["total"]) == (source["stats"], source["total"])


# ---- circumstances ---------------------------------------------------------------------------------------------------


def test_without_the_files(interpreter, tmp_path):
    """GIVEN an interpreter that is gone from the disk THEN its core alone is enough."""
    hidden = tmp_path / "hidden"
    copy, _library, options = copied(interpreter, hidden)
    case = kernel_case(copy, 25, 20_000, tmp_path, **options)
    shutil.rmtree(hidden)
    mapped = stats(case, "traceback")
    assert "incomplete" not in mapped
    expected = {tuple(map(tuple, stack)): [size, count] for stack, size, count in case.answers["stacks"]}
    found = {stack_of(item): [item["size"], item["count"]] for item in mapped["stats"]}
    expected = {k: v for k, v in expected.items() if not ran_later(case.answers, k)}
    assert_equal({k: found.get(k) for k in expected}, expected)
    assert case.ask("info", "--json").json()["python"] == case.answers["version"]
    case.source.unlink()


def test_a_future_version(cases, tmp_path):
    """GIVEN a version that does not exist yet THEN the sums decide: an answer that they prove, or a sentence."""
    case = cases["kernel"]
    version = case.answers["version"]
    future = "3.77." + version.split(".", 2)[2][: len(version) - 5]  # of the same length
    image = bytearray(case.source.read_bytes())
    # Behind it in Py_GetVersion()
    said = [b" (", b" experimental free-threading build (", b" free-threading build ("]
    assert any(version.encode() + behind in image for behind in said)
    for behind in said:
        image = image.replace(version.encode() + behind, future.encode() + behind)
    core = tmp_path / "future"
    core.write_bytes(image)
    before, answer = case.ask("top", "--all", "--json").json(), corpses.cli(core, "top", "--all", "--json")
    assert answer.status == 0 and answer.json()["stats"] == before["stats"]
    assert corpses.cli(core, "info", "--json").json()["python"] == future

    size = before["total"]["size"]
    core.write_bytes(image.replace(size.to_bytes(8, "little"), (size + 1).to_bytes(8, "little")))
    answer = corpses.cli(core, "top")
    core.unlink()
    assert answer.status == 2 and not answer.out
    assert "tables in CPython %s are not known to this reader" % future in answer.err
    assert "sizes add up to %d bytes where tracemalloc counts %d" % (size, size + 1) in answer.err


def test_not_tracing(interpreter, tmp_path):
    """GIVEN an interpreter that traces nothing THEN the answer names its version, and what to do."""
    process = corpses.start(
        [interpreter, "-c", "print('ready', flush=True); input()"], tmp_path, env=corpses.clean_environment()
    )
    try:
        corpses.wait_until_ready(process)
        answer = corpses.cli(process.pid, "top")
        assert answer.status == 2
        assert "CPython 3." in answer.err and "PYTHONTRACEMALLOC" in answer.err
    finally:
        process.kill()
        process.communicate()


BUSY = """
import sys
keep = [bytes(100 + i % 50) for i in range(50_000)]
print("ready", flush=True)
i = 0
while True:
    i += 1
    keep[i % len(keep)] = [bytes(100 + i % 50), str(i)]
"""


def test_busy_process(interpreter, tmp_path):
    """GIVEN a process that allocates all the time THEN an answer that is not proven says so, and what would prove it; the
    command ends all the same."""
    process = corpses.start([interpreter, "-c", BUSY], tmp_path, env=environment(5))
    try:
        corpses.wait_until_ready(process)
        answer = corpses.cli(process.pid, "top", "--json")
        assert answer.status in (0, 3), answer
        assert answer.json()["total"]["size"] > 4_000_000
        assert (answer.status == 3) == ("incomplete" in answer.json())
        assert all("--stop" in why for why in answer.json().get("incomplete", [])), answer
        # It may be stopped between two steps of tracemalloc, but not always.
        stopped = [corpses.cli(process.pid, "top", "--json", "--stop") for _ in range(8)]
        assert 0 in [answer.status for answer in stopped], stopped
        assert not any("while they were read" in answer.out for answer in stopped)
    finally:
        process.kill()
        process.communicate()


def test_truncated_core(cases, tmp_path):
    """GIVEN the first three quarters of a core THEN there is a labelled answer, or a sentence; or all of the answer,
    where the tables lie before the cut (3.15 does not need the objects for its file names)."""
    core = cases["kernel"].source
    cut = tmp_path / "cut"
    shutil.copy(core, cut)
    with open(cut, "r+b") as file:
        file.truncate(core.stat().st_size * 3 // 4)
    answer = corpses.cli(cut, "top", "--json")
    cut.unlink()
    if answer.status == 0:
        assert answer.json() == corpses.cli(core, "top", "--json").json()
    else:
        assert answer.status in (2, 3), answer
        assert answer.err or answer.json()["incomplete"]
