# SPDX-License-Identifier: MIT
"""Damaged evidence: each kind gives an answer, a labelled lower bound (3) or a clear refusal (2).  tests/storm has more
of the kind that needs many tries."""
import os
import struct
import subprocess

import pytest

import corpses
import evidence
from corefile import PAGE, Segment, chunks, loads, segments_of, table_in, write_core
from evidence import ask

kernel_cores = pytest.mark.skipif(
    corpses.kernel_writes_cores() is not None, reason=str(corpses.kernel_writes_cores())
)

STATE, DIRECTORY, LEAF, STRINGS, LOCATIONS, STACKS, TOTALS = range(1, 8)
# struct tm_state, behind its chunk's header
STATE_STACKS_COUNT, STATE_LEAF_COUNT, STATE_SHARD_COUNT, STATE_SHARDS = 24, 168, 172, 256
SHARD_LIVE = 32
COUNT_STEP = 1000003


@pytest.fixture(scope="module")
def file(newest, tmp_path_factory):
    return evidence.killed_with_file(newest, tmp_path_factory.mktemp("file"))


@pytest.fixture(scope="module")
def image(file):
    return file.read_bytes()


@pytest.fixture(scope="module")
def whole(file):
    return evidence.all_is_well(file)


def write(folder, image, name="bent.tm"):
    path = folder / name
    path.write_bytes(image)
    return path


def place(image, kind):
    """Offset of the first chunk of a kind, and of its data."""
    at = next(at for at, found, _, _ in chunks(image) if found == kind)
    return at, at + struct.unpack_from("<I", image, at + 32)[0]


# ---- how the kernel and gcore write cores ----------------------------------------------------------------------------


def core_with_filter(python, folder, value):
    program = evidence.write_program(folder)

    def prepare():
        with open("/proc/self/coredump_filter", "w") as out:
            out.write(value)

    process = subprocess.Popen(
        ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", *map(str, corpses.traced(python, program, "abort"))],
        cwd=str(folder),
        env=corpses.clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=prepare,
    )
    process.communicate(timeout=60)
    (core,) = folder.glob("core*")
    return core


@kernel_cores
@pytest.mark.parametrize("value", ["0x21", "0x23", "0x33", "0x3f", "0x7f"])
def test_filters_that_keep_the_table(newest, tmp_path, value):
    evidence.leaking_line(core_with_filter(newest, tmp_path, value))
    evidence.all_is_well(next(tmp_path.glob("core*")))


@kernel_cores
@pytest.mark.parametrize("value", ["0x00", "0x10", "0x0c"])
def test_filters_that_do_not(newest, tmp_path, value):
    """GIVEN a core without private memory, THEN a refusal that names the filter."""
    answer = ask(core_with_filter(newest, tmp_path, value), "top")
    assert answer.status == 2 and "coredump_filter" in answer.err, answer


@kernel_cores
def test_table_in_a_file_with_a_filter_that_keeps_shared_files(newest, tmp_path):
    """GIVEN bit 3, THEN the core has the table file's pages, and answers itself."""
    program = evidence.write_program(tmp_path)
    command = 'echo 0x3f >/proc/self/coredump_filter; ulimit -c unlimited; exec "$@"'
    subprocess.call(
        ["sh", "-c", command, "sh", *map(str, corpses.traced(newest, program, "abort"))],
        cwd=str(tmp_path),
        env=corpses.clean_environment(PYTHONTM_FILE="a.tm"),
    )
    (core,) = tmp_path.glob("core*")
    assert evidence.all_is_well(core) == evidence.all_is_well(tmp_path / "a.tm")


MAPPINGS = """\
import mmap, os, sys
keep = [bytes(1000 + i % 7) for i in range(20000)]
pages = []
try:
    for i in range(30000):
        pages.append(mmap.mmap(-1, 4096, prot=mmap.PROT_READ))
        pages.append(mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE))
        pages[-1][0] = 1
except OSError:
    pass
print(len(pages), flush=True)
if sys.argv[1] == "abort":
    os.abort()
"""


@kernel_cores
def test_sixty_thousand_mappings(newest, tmp_path):
    """GIVEN a process with 60,000 mappings (vm.max_map_count is 65,530), THEN an answer in a tenth of a second or so."""
    program = evidence.write_program(tmp_path, MAPPINGS)
    process = corpses.start(corpses.traced(newest, program, "abort"), tmp_path)
    out, err = process.communicate(timeout=100)
    (core,) = tmp_path.glob("core*")
    assert int(out) > 50000, (out, err)
    assert sum(1 for _ in loads(core)) > 25000
    before = corpses.processor_seconds()
    answer = ask(core, "top", 1, "--json")
    assert answer.status == 0 and corpses.processor_seconds() - before < 2
    assert answer.json()["stats"][0]["traceback"][0]["lineno"] == 2
    os.truncate(core, os.path.getsize(core) // 2)
    ask(core, "top")


@pytest.mark.parametrize("headers", ["at the end", "cut off"])
def test_more_segments_than_the_header_can_count(image, whole, tmp_path, headers):
    """GIVEN 70,000 segments (PN_XNUM), also with the section header that has their number cut off, THEN the same answer."""
    more = [Segment(0x10000 + i * 0x2000, b"") for i in range(70000)]
    for segment in more:
        segment.memory = PAGE
    core = write_core(tmp_path / "core", [*more, *segments_of(image)])
    if headers == "cut off":
        os.truncate(core, os.path.getsize(core) - 64)
    assert evidence.all_is_well(core) == whole


@pytest.mark.parametrize("notes", [True, False])
def test_core_made_of_a_table_file(image, whole, tmp_path, notes):
    assert evidence.all_is_well(write_core(tmp_path / "core", segments_of(image), notes=notes)) == whole


def test_wrong_byte_order(image, tmp_path):
    answer = ask(write_core(tmp_path / "core", segments_of(image), order=">"), "top")
    assert answer.status == 2 and "byte order" in answer.err, answer
    segments = list(segments_of(image))
    root = bytearray(segments[0].data)
    root[16:20] = root[16:20][::-1]
    root[24:32] = root[24:32][::-1]
    segments[0].data = bytes(root)
    answer = ask(write_core(tmp_path / "core2", segments), "top")
    assert answer.status == 2 and "byte order" in answer.err, answer


def test_32_bits(image, tmp_path):
    answer = ask(write_core(tmp_path / "core", segments_of(image), bits=1), "top")
    assert answer.status == 2 and "32-bit" in answer.err, answer


def test_segments_that_claim_the_same_bytes(image, tmp_path):
    """GIVEN a small file that claims terabytes, THEN a refusal at once."""
    path = write_core(tmp_path / "core", [Segment(0x10000 + i * (1 << 24), bytes([1]) * PAGE) for i in range(3000)])
    size = os.path.getsize(path)
    with open(path, "r+b") as core:
        for i in range(1, 3001):
            core.seek(64 + 56 * i + 8)
            core.write(struct.pack("<Q", 0))
            core.seek(64 + 56 * i + 32)
            core.write(struct.pack("<QQ", size, size))
    before = corpses.processor_seconds()
    answer = ask(path, "top")
    assert answer.status == 2 and "again and again" in answer.err, answer
    assert corpses.processor_seconds() - before < 2


@pytest.mark.parametrize("how", ["missing", "magic"])
def test_root_lost(image, whole, tmp_path, how):
    """GIVEN a core without a root, THEN the state stands in for it, and the answer says what is missing."""
    segments = list(segments_of(image))
    root = bytearray(segments[0].data)
    if how == "missing":
        root[:] = bytes(PAGE)
    else:
        root[3] ^= 0x40
    segments[0].data = bytes(root)
    answer = ask(write_core(tmp_path / "core", segments), "top", "--json")
    assert answer.status == 3 and "root" in answer.json()["incomplete"][0], answer
    assert answer.json()["total"] == whole


# ---- more than one root ------------------------------------------------------------------------------------------------


def test_copies_of_the_root_and_of_the_whole_table(image, whole, tmp_path):
    """GIVEN a heap with the pages of a table file in it (a buffer, a forked image at other addresses), before and behind
    the true one, THEN the true one answers."""
    root = segments_of(image)
    copies = [Segment(0x100000000, image), Segment(0x7FFF00000000, image), Segment(0x200000000, image[:PAGE])]
    assert evidence.all_is_well(write_core(tmp_path / "core", [*copies, *root])) == whole


def test_a_second_runtime_that_never_started(image, whole, tmp_path):
    """GIVEN a root before the true one that claims its own address and has no state, THEN the one that traced counts."""
    idle = bytearray(image[:PAGE])
    idle[24:32] = struct.pack("<Q", 0x300000000)
    idle[32:40] = bytes(8)
    core = write_core(tmp_path / "core", [Segment(0x300000000, bytes(idle)), *segments_of(image)])
    assert evidence.all_is_well(core) == whole


def test_a_table_file_read_by_a_traced_program(newest, tmp_path):
    """GIVEN a program that holds another's table file in its own heap, THEN its core speaks of itself."""
    other = evidence.killed_with_file(newest, tmp_path)
    program = evidence.write_program(
        tmp_path,
        "import mmap, sys\nkeep = [bytes(2000 + i % 7) for i in range(9000)]\n"
        "copy = mmap.mmap(-1, 64 << 20)\ndata = open(sys.argv[1], 'rb').read()\ncopy[:len(data)] = data\n"
        "print('ready', flush=True)\nsys.stdin.read()\n",
        "reader.py",
    )
    core = corpses.gcore_core(corpses.traced(newest, program, other), tmp_path)
    lines = [stat["traceback"][0]["filename"] for stat in ask(core, "top", "5", "--json").json()["stats"]]
    assert str(program) in lines and not any(line.endswith("program.py") for line in lines)


# ---- caught in the middle of a change -----------------------------------------------------------------------------------


def bent(image, offset, form, change):
    """A copy in which one number is another."""
    copy = bytearray(image)
    (old,) = struct.unpack_from(form, copy, offset)
    struct.pack_into(form, copy, offset, change(old))
    return copy


def labelled(path):
    """Both top and check say that something is not as it should be."""
    for verb in ("top", "check"):
        answer = ask(path, verb, "--json")
        if answer.status == 2:
            continue
        assert answer.status == 3, (verb, answer)


def test_block_published_and_totals_not_yet(image, whole, tmp_path):
    """GIVEN a slot whose totals were still to come, THEN check says so, by one block."""
    _, data = place(image, LEAF)
    used = next(i for i in range(data, data + (1 << 21), 8) if struct.unpack_from("<Q", image, i)[0] >> 32)
    free = next(i for i in range(used, data + (1 << 21), 8) if not struct.unpack_from("<Q", image, i)[0])
    copy = bytearray(image)
    copy[free : free + 8] = copy[used : used + 8]
    path = write(tmp_path, copy)
    assert ask(path, "top", "--json").json()["total"] == whole
    answer = ask(path, "check", "--json")
    assert answer.status == 3 and answer.json()["scan"]["count"] == whole["count"] + 1, answer


def test_totals_of_a_stack_written_and_the_sum_not_yet(image, tmp_path):
    _, data = place(image, TOTALS)
    at = next(i for i in range(data, data + (1 << 18), 16) if struct.unpack_from("<q", image, i)[0] > 0)
    labelled(write(tmp_path, bent(image, at, "<q", lambda old: old + 64)))
    for value in (-1000000, -COUNT_STEP << 30, COUNT_STEP << 40):
        labelled(write(tmp_path, bent(image, at + 8, "<q", lambda old: value)))
    for bit in range(64):
        labelled(write(tmp_path, bent(image, at + 8, "<Q", lambda old: old ^ 1 << bit)))
    _, state = place(image, STATE)
    labelled(write(tmp_path, bent(image, state + STATE_SHARDS + SHARD_LIVE, "<q", lambda old: old - 64)))


def test_counts_that_came_before_what_they_count(image, whole, tmp_path):
    """GIVEN more stacks than there are totals for, or fewer, THEN a truth or a label."""
    _, state = place(image, STATE)
    for change in (lambda old: old + 1, lambda old: old - 1, lambda old: 0, lambda old: 1 << 40, lambda old: old + 100000):
        path = write(tmp_path, bent(image, state + STATE_STACKS_COUNT, "<Q", change))
        answer = ask(path, "top", "--json")
        assert answer.status == 3 or answer.json()["total"] == whole, answer


def test_state_without_shards(image, tmp_path):
    _, state = place(image, STATE)
    labelled(write(tmp_path, bent(image, state + STATE_SHARD_COUNT, "<I", lambda old: 0)))
    labelled(write(tmp_path, bent(image, state + STATE_SHARD_COUNT, "<I", lambda old: 1000)))


def test_leaf_made_and_not_counted(image, whole, tmp_path):
    _, state = place(image, STATE)
    path = write(tmp_path, bent(image, state + STATE_LEAF_COUNT, "<I", lambda old: old - 1))
    assert ask(path, "top", "--json").json()["total"] == whole
    answer = ask(path, "check", "--json")
    assert answer.status == 3 and "leaves" in answer.json()["findings"][0], answer


def test_where_the_table_lies(newest, tmp_path):
    """The map that the storms throw at: root and chunks of a real core are found by it."""
    program = evidence.write_program(tmp_path)
    core = corpses.gcore_core(corpses.traced(newest, program, "wait"), tmp_path)
    assert len(table_in(core)) > 15
