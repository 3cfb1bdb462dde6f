# SPDX-License-Identifier: MIT
"""The snapshot file: it says what the core says, nothing else, and is there whole or not at all."""

import json
import os
import pathlib
import resource
import signal
import stat
import struct
import subprocess
import time

import pytest

import snapshot_file

ROOT = pathlib.Path(__file__).resolve().parents[2]

VERBS = [
    ["top"],
    ["top", "--all", "--by", "traceback", "--json"],
    ["top", "--by", "function", "--cumulative"],
    ["top", "--include", "*/app.py", "--json"],
    ["tree", "-p", "0"],
    ["tree", "--by", "filename", "--json"],
]
VERBS_OF_BLOCKS = [
    ["blocks", "--limit", "30"],
    ["blocks", "--all", "--json", "--include", "*/app.py:5"],
    ["sizes"],
    ["sizes", "--by", "function", "--json"],
    ["check", "--json"],
]


@pytest.fixture
def dumped(ask, core, tmp_path):
    ask("dump", core, tmp_path / "totals.tm")
    return tmp_path / "totals.tm"


@pytest.fixture
def with_blocks(ask, core, tmp_path):
    ask("dump", "--blocks", core, tmp_path / "blocks.tm")
    return tmp_path / "blocks.tm"


# ---- what it says -----------------------------------------------------------------------------------------------------


def test_every_verb_says_the_same_of_core_and_snapshot(ask, core, dumped, with_blocks):
    for words in VERBS:
        assert ask(words[0], dumped, *words[1:]) == ask(words[0], core, *words[1:])
    for words in VERBS + VERBS_OF_BLOCKS:
        assert ask(words[0], with_blocks, *words[1:]) == ask(words[0], core, *words[1:])


def test_traceback_of_an_address(ask, core, with_blocks):
    block = json.loads(ask("blocks", core, "--json", "--limit", "1")[0])["blocks"][0]
    inside = hex(int(block["address"], 16) + block["size"] // 2)
    for address in (block["address"], inside):
        assert ask("traceback", with_blocks, address) == ask("traceback", core, address)


def test_info_remembers_the_program(ask, core, dumped):
    core_says, file_says = (json.loads(ask("info", source, "--json")[0]) for source in (core, dumped))
    for what in ("pid", "program", "signal", "python", "tracer", "frame_limit", "started", "total"):
        assert core_says[what] == file_says[what]


def test_info_tells_what_a_snapshot_is(ask, core, dumped, with_blocks, tmp_path):
    ask("dump", "--redact", with_blocks, tmp_path / "redacted.tm")
    ask("dump", tmp_path / "redacted.tm", tmp_path / "again.tm")
    found = [json.loads(ask("info", path, "--json")[0]).get("snapshot") for path in (
        core, dumped, with_blocks, tmp_path / "redacted.tm", tmp_path / "again.tm")]
    assert found[0] is None
    assert [(of["blocks"], of["redacted"]) for of in found[1:]] == [(False, False), (True, False), (False, True), (False, True)]
    assert "snapshot: taken 20" in ask("info", dumped)[0] and "totals only\n" in ask("info", dumped)[0]


def test_blocks_are_missed_in_words(ask, dumped):
    for verb in ("blocks", "sizes", "check"):
        assert "tm dump --blocks" in ask(verb, dumped, status=2)[1]


def test_a_snapshot_of_a_snapshot(ask, with_blocks, tmp_path):
    ask("dump", "--blocks", with_blocks, tmp_path / "again.tm")
    for words in VERBS + VERBS_OF_BLOCKS:
        assert ask(words[0], tmp_path / "again.tm", *words[1:]) == ask(words[0], with_blocks, *words[1:])


def test_no_change_is_no_difference(ask, core, dumped):
    answer = json.loads(ask("diff", dumped, core, "--all", "--json")[0])
    assert answer["stats"] and all(entry["size_diff"] == entry["count_diff"] == 0 for entry in answer["stats"])


def test_diff_takes_any_two(ask, core, dumped, small):
    text, _ = ask("diff", small, core, "--include", "*/app.py", "--no-source")
    assert "app.py:5: size=391 KiB (+391 KiB), count=400 (+400), average=1000 B\n" in text or "app.py:5: size=" in text
    assert ask("diff", small, core)[0] == ask("diff", small, dumped)[0]
    assert ask("diff", dumped, small, "--json", "--all")[0].count('"count": 0,') > 10


def test_nothing_of_what_is_held_is_in_the_file(core, with_blocks):
    """The zstd frames are opened here, so that compression hides nothing."""
    content = b"".join(section[1] for section in opened(with_blocks))
    assert b"secret that must" in core.read_bytes().lower() and b"the leak" not in content
    assert b"secret that must" not in content.lower() and b"PATH=" not in content
    assert b"app.py" in content


def opened(path):
    """(kind, content) of each section, by the documented format alone."""
    image = path.read_bytes()
    assert image[:16] == snapshot_file.MAGIC
    version, header, size, directory, stored, count, zero = struct.unpack_from("<IIQQQQQ", image, 16)
    assert (version, header, size, directory + stored, zero) == (1, 64, len(image), len(image), 0)
    sections = []
    for at in range(count):
        row = struct.unpack_from("<IIQQQ", unzstd(image[directory:]), 32 * at)
        content = unzstd(image[row[2] : row[2] + row[3]])
        assert len(content) == row[1] * row[4]
        sections.append((row[0], content))
    return sections


def unzstd(frame):
    return subprocess.run(["zstd", "-dc"], input=frame, stdout=subprocess.PIPE, check=True).stdout


# ---- redaction ----------------------------------------------------------------------------------------------------------


def names(path):
    kinds = dict(opened(path))
    lengths = [length for (length,) in struct.iter_unpack("<I", kinds[snapshot_file.LENGTHS])]
    content, found = kinds[snapshot_file.BYTES], []
    for length in lengths:
        found.append(content[:length].decode("utf-8", "surrogatepass"))
        content = content[length:]
    return found


def test_redacted_names_are_gone_and_stable(ask, core, tmp_path, environment):
    paths = [tmp_path / name for name in ("one.tm", "two.tm", "keyed.tm", "plain.tm")]
    keyed = dict(environment, TM_REDACT_KEY="not for you")
    for path, env in zip(paths, (environment, environment, keyed, environment)):
        ask("dump", *([] if path.name == "plain.tm" else ["--redact"]), core, path, env=env)
    one, two, other, plain = map(names, paths)
    assert one == two and set(one) & set(other) <= {"", "<unknown>", "<module>", "<lambda>", "<string>"}
    assert any("app.py" in name for name in plain) and not any("app" in name or "put" in name for name in one)
    assert {name for name in one if not name.startswith("redacted-")} <= {"", "<unknown>", "<module>", "<lambda>", "<string>"}
    assert b"app.py" not in b"".join(content for _kind, content in opened(paths[0]))
    assert json.loads(ask("info", paths[0], "--json")[0])["program"] is None
    # and the numbers are those of the plain one
    stats = [json.loads(ask("top", path, "--all", "--json")[0])["stats"] for path in (paths[0], paths[3])]
    numbers = [sorted((entry["size"], entry["count"], entry["traceback"][0]["lineno"]) for entry in of) for of in stats]
    assert numbers[0] == numbers[1]


def test_redaction_is_siphash(ask, tmp_path, environment):
    """The example that the document can be held to: an independent SipHash-2-4."""
    path = snapshot_file.write(tmp_path / "named.tm", [(0, 1, (("/a/b.py", 1),), 1)], 1)
    ask("dump", "--redact", path, tmp_path / "redacted.tm", env=environment)
    key = [siphash((0, 0), b""), siphash((1, 0), b"")]
    assert "redacted-%016x" % siphash(key, b"/a/b.py") in names(tmp_path / "redacted.tm")


def siphash(key, text):
    mask = (1 << 64) - 1
    v = [key[0] ^ 0x736F6D6570736575, key[1] ^ 0x646F72616E646F6D, key[0] ^ 0x6C7967656E657261, key[1] ^ 0x7465646279746573]

    def turn(value, bits):
        return (value << bits | value >> (64 - bits)) & mask

    def rounds(count):
        for _ in range(count):
            v[0] = (v[0] + v[1]) & mask
            v[2] = (v[2] + v[3]) & mask
            v[1], v[3] = turn(v[1], 13) ^ v[0], turn(v[3], 16) ^ v[2]
            v[0] = turn(v[0], 32)
            v[2] = (v[2] + v[1]) & mask
            v[0] = (v[0] + v[3]) & mask
            v[1], v[3] = turn(v[1], 17) ^ v[2], turn(v[3], 21) ^ v[0]
            v[2] = turn(v[2], 32)

    padded = text + bytes(7 - len(text) % 8) + bytes([len(text) & 255])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def test_filtered_names_are_not_in_the_file(ask, core, tmp_path):
    ask("dump", core, tmp_path / "part.tm", "--include", "*/app.py", "--exclude", "*frozen*", "--all-frames")
    assert not any("frozen" in name for name in names(tmp_path / "part.tm"))


# ---- writing --------------------------------------------------------------------------------------------------------------


def test_only_its_owner_can_read_it(dumped):
    assert stat.S_IMODE(dumped.stat().st_mode) == 0o600


def test_nothing_is_replaced_unasked(ask, core, tmp_path):
    path = tmp_path / "there"
    path.write_bytes(b"mine")
    assert "--force" in ask("dump", core, path, status=2)[1]
    assert path.read_bytes() == b"mine"
    ask("dump", "--force", core, path)
    assert path.read_bytes().startswith(snapshot_file.MAGIC)


@pytest.mark.parametrize("kind", ["folder", "device", "link", "pipe"])
def test_only_files_are_replaced(ask, core, tmp_path, kind):
    path = tmp_path / "there"
    if kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = "/dev/full"
    elif kind == "link":
        path.symlink_to("elsewhere")
    else:
        os.mkfifo(str(path))
    before = os.lstat(str(path)).st_mode
    for words in ([], ["--force"]):
        ask("dump", core, path, *words, status=2)
    assert os.lstat(str(path)).st_mode == before and not (tmp_path / "elsewhere").exists()


def test_no_room(tm, core, tmp_path):
    """GIVEN a limit on the size of files, WHEN it does not suffice, THEN that is told and nothing is left."""
    done = subprocess.run(
        [tm, "dump", "--blocks", str(core), str(tmp_path / "out.tm")],
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.returncode == 2 and b"cannot write" in done.stderr and b"ulimit -f" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_full_disk(tm, core, tmp_path):
    """The same on a file system that is full, where one may be mounted."""
    mount = "mount -t tmpfs -o size=16k none %s && cd %s && dd if=/dev/zero of=fill bs=4k count=2 2>/dev/null; " % (tmp_path, tmp_path)
    script = mount + "%s dump --blocks %s out.tm; echo status $?; ls -a" % (tm, core)
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    if "status" not in done.stdout:
        pytest.skip("no mounts here: " + done.stderr.strip())
    assert "status 2" in done.stdout and "No space left on device" in done.stderr and "df " in done.stderr
    assert done.stdout.split()[-3:] == [".", "..", "fill"]


def test_no_such_folder_and_no_permission(ask, core, tmp_path):
    assert "No such file or directory" in ask("dump", core, tmp_path / "gone/out.tm", status=2)[1]
    ask("dump", core, "", status=2)


def test_interrupted(tm, tmp_path):
    """GIVEN a long dump, WHEN Ctrl-C comes, THEN it dies of that, and leaves no file, or a whole one."""
    traces = [(0, 16, (("/a/%d.py" % (i % 5000), i),), 1) for i in range(120000)]
    big = snapshot_file.write(tmp_path / "big.tm", traces, 1)
    folder = tmp_path / "out"
    folder.mkdir()
    ended = set()
    for wait in (0.002, 0.004, 0.008, 0.016, 0.03, 0.06):
        process = subprocess.Popen([tm, "dump", str(big), str(folder / "out.tm")], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        time.sleep(wait)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        ended.add(process.returncode)
        left = [path.name for path in folder.iterdir()]
        assert left in ([], ["out.tm"]) and (left or process.returncode), left
        if left:
            subprocess.run([tm, "top", str(folder / "out.tm")], check=True, stdout=subprocess.DEVNULL)
            (folder / "out.tm").unlink()
    assert ended <= {0, -signal.SIGINT}


# ---- reading what is broken --------------------------------------------------------------------------------------------------


def test_no_changed_bit_changes_the_answer(tm, small, tmp_path):
    """GIVEN a snapshot with one bit changed, anywhere, WHEN it is asked, THEN it is refused.  (A frame of zstd has bits that
    mean nothing, and two ways to say the same; then it says the same.)"""
    image, broken = small.read_bytes(), tmp_path / "broken.tm"
    words = [tm, "blocks", str(broken), "--all", "--json"]
    broken.write_bytes(image)
    whole = subprocess.run(words, capture_output=True)
    refused = 0
    for at in range(len(image)):
        broken.write_bytes(image[:at] + bytes([image[at] ^ (1 << at % 8)]) + image[at + 1 :])
        done = subprocess.run(words, capture_output=True)
        assert done.returncode == 2 and done.stderr.startswith(b"tm: ") or done.stdout == whole.stdout, at
        refused += done.returncode == 2
    assert refused > len(image) * 0.95


def test_every_truncation_is_noticed(ask, small, tmp_path):
    image = small.read_bytes()
    for size in list(range(0, 80)) + list(range(80, len(image), 7)):
        broken = tmp_path / "broken.tm"
        broken.write_bytes(image[:size])
        ask("top", broken, status=2)
    broken.write_bytes(image + b"x")
    ask("top", broken, status=2)


def test_a_newer_version_says_so(ask, tmp_path):
    path = tmp_path / "newer.tm"
    path.write_bytes(snapshot_file.assemble(snapshot_file.sections([], 1), version=2))
    assert "has version 2; this tm knows versions up to 1" in ask("top", path, status=2)[1]


def test_unknown_sections_and_longer_elements_are_skipped(ask, tmp_path):
    parts = snapshot_file.sections([(0, 10, (("/a.py", 3),), 1)], 1)
    plain, newer = tmp_path / "plain.tm", tmp_path / "newer.tm"
    plain.write_bytes(snapshot_file.assemble(parts))
    longer = [
        (kind, size + 4, count, b"".join(content[i * size : (i + 1) * size] + b"more" for i in range(count)))
        if kind not in (snapshot_file.BYTES, snapshot_file.NOTES)
        else (kind, size, count, content)
        for kind, size, count, content in parts
    ]
    newer.write_bytes(snapshot_file.assemble(longer + [(77, 1, 3, b"new")]))
    assert ask("top", plain) == ask("top", newer)


def test_numbers_that_lead_nowhere(ask, tmp_path):
    """Sound checksums, wrong contents."""
    sound = snapshot_file.sections([(7, 10, (("/a.py", 3),), 1)], 1, blocks=True)
    path = tmp_path / "wrong.tm"

    def broken(kind, content, size=None, count=None):
        parts = []
        for part in sound:
            if part[0] == kind:
                part = (kind, size or part[1], part[2] if count is None else count, content)
            parts.append(part)
        path.write_bytes(snapshot_file.assemble(parts))
        said = ask("blocks", path, status=2)[1]
        assert "is damaged" in said

    path.write_bytes(snapshot_file.assemble(sound))
    ask("blocks", path)
    rows = {kind: content for kind, _size, _count, content in sound}
    broken(snapshot_file.LENGTHS, struct.pack("<III", 0, 9, 1 << 31))
    broken(snapshot_file.LENGTHS, struct.pack("<III", 1, 9, 5))
    broken(snapshot_file.LOCATIONS, struct.pack("<IIIIII", 1, 0, 0, 9, 0, 3))
    broken(snapshot_file.STACKS, struct.pack("<IIIIII", 0, 0, 0, 1, 1, 1))
    broken(snapshot_file.STACKS, struct.pack("<IIIIII", 0, 0, 0, 0, 2, 1))
    broken(snapshot_file.TOTALS, rows[snapshot_file.TOTALS][:16], count=1)
    broken(snapshot_file.FOREIGN, struct.pack("<IIqq", 7, 2, 10, 1))
    broken(snapshot_file.BLOCKS, struct.pack("<QQII", 1, 1, 2, 0))
    broken(snapshot_file.IDENTITY, rows[snapshot_file.IDENTITY][:100], size=100)
    for missing in range(1, 9):
        path.write_bytes(snapshot_file.assemble([part for part in sound if part[0] != missing]))
        ask("top", path, status=2)
        path.write_bytes(snapshot_file.assemble(sound + [part for part in sound if part[0] == missing]))
        ask("top", path, status=2)


def test_a_bomb_is_not_unpacked(ask, tmp_path):
    path = tmp_path / "bomb.tm"
    parts = [(kind, size, count, content) for kind, size, count, content in snapshot_file.sections([], 1) if kind != snapshot_file.NOTES]
    path.write_bytes(snapshot_file.assemble(parts + [(snapshot_file.NOTES, 1, 200 << 20, bytes(200 << 20))]))
    assert "more than it can hold" in ask("top", path, status=2)[1]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_never_loaded(ask, tmp_path, protocol):
    import pickle

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    path = tmp_path / "pickle"
    path.write_bytes(pickle.dumps(Trap(), protocol))
    for words in (["top", path], ["diff", path, path], ["dump", path, tmp_path / "out.tm"]):
        assert "is a pickle" in ask(*words, status=2)[1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["pickle"]


def test_other_files(ask, small, tmp_path):
    for name, content in (("empty", b""), ("text", b"hello\n"), ("zeros", bytes(5000)), ("text mode", small.read_bytes().replace(b"\r\n", b"\n"))):
        path = tmp_path / name
        path.write_bytes(content)
        ask("top", path, status=2)
        ask("diff", path, small, status=2)
        ask("diff", small, path, status=2)
    ask("top", tmp_path, status=2)


def test_words_that_make_no_sense(ask, small):
    for words in (
        ["top", small, "--domain", "x"], ["top", small, "--domain", "-1"], ["top", small, "--domain", "4294967296"],
        ["top", small, "--exclude-domain", ""], ["top", small, "--include"], ["tree", small, "--min-percent", "200"],
        ["tree", small, "--min-percent", "x"], ["tree", small, "--by", "traceback"], ["sizes", small, "--by", "colour"],
        ["diff", small], ["diff"], ["diff", small, small, small], ["dump", small], ["top", small, "--by", "function"],
        ["diff", small, small, "--by", "traceback", "--cumulative"],
    ):  # fmt: skip
        ask(*words, status=2)
    ask("traceback", small, "0x10000", "--exclude", "*b.py", status=2)
    ask("traceback", small, "0x10000", "--include", "*b.py:2")


def test_the_sanitised_engine_has_nothing_to_say(core, small, tmp_path, environment):
    """GIVEN the engine with ASan and UBSan, WHEN it writes and reads, sound files and broken ones, THEN it only answers."""
    tm = ROOT / "build/sanitize/bin/tm"
    assert tm.exists(), "not built: make build-sanitize"
    env = dict(environment, ASAN_OPTIONS="detect_leaks=1", TM_REDACT_KEY="key")

    def run(*words):
        done = subprocess.run([str(tm), *map(str, words)], capture_output=True, env=env, timeout=60)
        assert done.returncode in (0, 2) and b"ERROR: " not in done.stderr and b"runtime error" not in done.stderr, (words, done)
        return done.returncode

    whole, image = tmp_path / "whole.tm", small.read_bytes()
    assert run("dump", "--blocks", core, whole) == run("dump", "--redact", core, tmp_path / "redacted.tm") == 0
    assert run("diff", small, whole, "--by", "traceback") == run("diff", whole, core, "--cumulative", "--json") == 0
    for words in VERBS + VERBS_OF_BLOCKS:
        assert run(words[0], whole, *words[1:]) == 0
    for at in range(0, len(image), 23):
        broken = tmp_path / "broken.tm"
        broken.write_bytes(image[:at] + bytes([image[at] ^ 0x55]) + image[at + 1 :])
        run("blocks", broken, "--all")
        broken.write_bytes(image[:at])
        assert run("top", broken) == 2
