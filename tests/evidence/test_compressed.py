# SPDX-License-Identifier: MIT
"""Cores and table files as systemd-coredump and thrifty people leave them: zstd, lz4, xz, gzip; whole, cut, damaged."""
import fcntl
import os
import pty
import random
import struct
import subprocess
import termios

import pytest

import corpses
import evidence
from evidence import ask

FORMATS = {
    "zst": ["zstd", "-q", "-3", "-c"],
    "lz4": ["lz4", "-q", "-c"],
    "xz": ["xz", "-0", "-c"],
    "gz": ["gzip", "-1", "-c"],
}


def compress(path, folder, kind, name="core"):
    packed = folder / ("%s.%s" % (name, kind))
    with open(packed, "wb") as out:
        subprocess.check_call([*FORMATS[kind], str(path)], stdout=out)
    return packed


@pytest.fixture(scope="module")
def folder(newest, tmp_path_factory):
    """A core, and each kind of what it may be compressed to."""
    folder = tmp_path_factory.mktemp("packed")
    program = evidence.write_program(folder)
    core = corpses.gcore_core(corpses.traced(newest, program, "wait"), folder)
    core.rename(folder / "whole")
    for kind in FORMATS:
        compress(folder / "whole", folder, kind)
    return folder


def tm(path, *words, env=None, **more):
    done = subprocess.run(
        [corpses.TM, *words, str(path)],
        env=env or corpses.clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=60,
        **more,
    )
    return corpses.Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("kind", FORMATS)
class TestKinds:
    def test_the_same_answer(self, folder, kind):
        whole = ask(folder / "whole", "top", "--json")
        assert ask(folder / ("core." + kind), "top", "--json").out == whole.out
        assert ask(folder / ("core." + kind), "check").status == 0

    def test_cut(self, folder, kind, tmp_path):
        """GIVEN a compressed core that ends too early, THEN the truth, a labelled lower bound, or a refusal."""
        whole = ask(folder / "whole", "top", "--json").json()["total"]
        packed = (folder / ("core." + kind)).read_bytes()
        numbers = random.Random(len(kind))
        sizes = [1, 5, 7, 20, len(packed) // 2, len(packed) - 1]
        sizes += [numbers.randrange(len(packed)) for _ in range(10)]
        statuses = {}
        for size in sizes:
            cut = tmp_path / "cut"
            cut.write_bytes(packed[:size])
            answer = ask(cut, "top", "--json")
            statuses[size] = answer.status
            if answer.status == 0:
                assert answer.json()["total"] == whole
            elif answer.status == 3:
                assert answer.json()["incomplete"] and answer.json()["total"]["size"] <= whole["size"]
        assert statuses[1] == 2 and statuses[len(packed) - 1] in (0, 3), statuses

    def test_damaged(self, folder, kind, tmp_path):
        """GIVEN bytes in the middle that are wrong, THEN no number comes of them."""
        whole = ask(folder / "whole", "top", "--json").json()["total"]
        packed = bytearray((folder / ("core." + kind)).read_bytes())
        for at in (len(packed) // 3, len(packed) // 2, len(packed) - 3):
            damaged = bytearray(packed)
            damaged[at : at + 3] = bytes(byte ^ 0x55 for byte in damaged[at : at + 3])
            bad = tmp_path / "bad"
            bad.write_bytes(damaged)
            answer = ask(bad, "top", "--json")
            if answer.status != 2:
                assert answer.json()["total"] == whole or answer.json().get("incomplete"), (at, answer)
            else:
                assert "damaged" in answer.err or "truncated" in answer.err, answer

    def test_in_several_frames(self, folder, kind, tmp_path):
        """GIVEN frames behind one another (cat, pzstd), THEN they are one file."""
        whole = (folder / "whole").read_bytes()
        packed = b""
        for number, at in enumerate(range(0, len(whole), 1 + len(whole) // 7)):
            part = tmp_path / ("part%d" % number)
            part.write_bytes(whole[at : at + 1 + len(whole) // 7])
            packed += compress(part, tmp_path, kind, part.name).read_bytes()
        (tmp_path / "core").write_bytes(packed)
        assert ask(tmp_path / "core", "top", "--json").out == ask(folder / "whole", "top", "--json").out


def test_table_file(newest, tmp_path):
    path = evidence.killed_with_file(newest, tmp_path)
    for kind in FORMATS:
        assert ask(compress(path, tmp_path, kind, "table"), "top", "--json").out == ask(path, "top", "--json").out


def test_nothing_is_left_behind(folder, tmp_path):
    assert tm(folder / "core.zst", "top", env=corpses.clean_environment(TMPDIR=str(tmp_path))).status == 0
    assert not list(tmp_path.iterdir())


def test_no_folder_for_it(folder):
    answer = tm(folder / "core.zst", "top", env=corpses.clean_environment(TMPDIR="/nonexistent"))
    assert answer.status == 2 and "/nonexistent" in answer.err and "Try: TMPDIR=" in answer.err, answer


def test_no_space_for_it(folder, disk_of):
    """GIVEN a disk with 70 MiB, of which 64 are left to others, THEN a sentence, and nothing is left behind."""
    disk = disk_of("70m")
    answer = tm(folder / "core.zst", "top", env=corpses.clean_environment(TMPDIR=str(disk)))
    assert answer.status == 2 and "not enough space" in answer.err and "Try: TMPDIR=" in answer.err, answer
    assert os.statvfs(disk).f_bavail == os.statvfs(disk).f_blocks


def test_holes_stay_holes(folder, tmp_path, disk_of):
    """GIVEN a core of 1 GB of which nearly all is zeros, THEN it fits on a disk that has not so much."""
    big = tmp_path / "big"
    with open(folder / "whole", "rb") as whole, open(big, "wb") as out:
        out.write(whole.read())
        out.truncate(1 << 30)
    packed = compress(big, tmp_path, "zst", "big")
    assert tm(packed, "top", env=corpses.clean_environment(TMPDIR=str(disk_of("180m")))).status == 0


def test_progress_on_a_terminal(folder, tmp_path):
    """GIVEN somebody who waits at a terminal, THEN progress, which is gone in the end."""
    noise = tmp_path / "slow"
    with open(folder / "whole", "rb") as whole, open(noise, "wb") as out:
        out.write(whole.read())
        for _ in range(20):
            out.write(os.urandom(1 << 16) * 64)
    packed = compress(noise, tmp_path, "xz", "slow")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [corpses.TM, "top", str(packed), "1"], env=corpses.clean_environment(), stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    said = b""
    try:
        while True:
            more = os.read(master, 4096)
            said += more
            if not more:
                break
    except OSError:
        pass
    assert process.wait() == 0
    if b"unpacking" in said:  # it waits half a second before it says anything
        left = said.split(b"\r\x1b[K")[-1]
        assert b"unpacking" not in left and b"program.py:2" in left
    else:
        assert b"program.py:2" in said
