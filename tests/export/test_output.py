# SPDX-License-Identifier: MIT
"""Where exports go: whole or not at all, and never where they cannot be read."""
import os
import pty
import re
import resource
import signal
import stat
import subprocess

import pytest

import corpses


def run(*words, **options):
    return subprocess.run(
        [corpses.TM, *map(str, words)], env=corpses.clean_environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options
    )


def test_file_is_new_and_as_the_umask_says(core, tmp_path):
    path = tmp_path / "a.json"
    done = run("export", core, "-o", path, stdout=subprocess.PIPE, umask=0o027)
    assert done.returncode == 0 and done.stdout.startswith(str(path)), done
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_nothing_is_replaced_without_force(core, tmp_path):
    path = tmp_path / "a.json"
    path.write_text("precious")
    answer = corpses.cli(core, "export", "-o", path)
    assert answer.status == 2 and "exists already" in answer.err and "--force" in answer.err, answer
    assert path.read_text() == "precious"
    assert corpses.cli(core, "export", "-o", path, "--force").status == 0
    assert path.read_text().startswith("{")


@pytest.mark.parametrize("format", ["json", "speedscope", "pprof", "tracemalloc"])
def test_full_disk_leaves_nothing(core, tmp_path, format):
    """GIVEN a disk that is full after 4 KiB, THEN an error, and no file under any name."""

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = run("export", core, "--format", format, "-o", tmp_path / "a", preexec_fn=small_files)
    assert done.returncode == 2 and "cannot write" in done.stderr, done
    assert list(tmp_path.iterdir()) == []


def test_redirected_to_a_full_disk(core):
    with open("/dev/full", "w") as full:
        done = run("export", core, stdout=full)
    assert done.returncode == 2 and done.stderr.startswith("tm: "), done


@pytest.mark.parametrize("format", ["pprof", "tracemalloc"])
def test_binary_formats_are_not_for_terminals(core, format):
    reader, terminal = pty.openpty()
    done = run("export", core, "--format", format, stdout=terminal)
    os.close(terminal)
    os.close(reader)
    assert done.returncode == 2 and "it is for a file" in done.stderr and "-o tm." in done.stderr, done
    answer = corpses.gdb(core, "export", "--format", format)
    assert "-o tm." in answer.out + answer.err


def test_refused_before_the_source_is_opened(tmp_path):
    answer = corpses.cli("/nonexistent", "export", "--format", "json", "--count")
    assert answer.status == 2 and "--count" in answer.err, answer


def test_what_cannot_be(core, tmp_path):
    for words, hint in [
        (["--format", "svg"], "collapsed, speedscope, pprof"),
        (["--format", "jsn"], "json"),
        (["--format", "json", "--baseline", core], "--format html"),
        (["--format", "pprof", "--count"], "both bytes and blocks"),
        (["-o", tmp_path / "no" / "folder"], "No such file"),
        (["-o", tmp_path], "directory"),
    ]:
        answer = corpses.cli(core, "export", *words)
        assert answer.status == 2 and hint in answer.err and not answer.out, answer
    assert list(tmp_path.iterdir()) == []


def test_lower_bound(core, tmp_path):
    """GIVEN a core in which a part of the table is damaged, THEN what there is is exported, marked, with exit status 3."""
    data = core.read_bytes()
    magic = b"\xabtmchunk"
    damaged = tmp_path / "damaged"
    for found in re.finditer(re.escape(magic), data):
        damaged.write_bytes(data[: found.start()] + bytes(8) + data[found.end() :])
        answer = corpses.cli(damaged, "export")
        if answer.status == 3:
            break
    assert answer.status == 3 and answer.json()["incomplete"], answer
    speedscope = corpses.cli(damaged, "export", "--format", "speedscope")
    assert speedscope.status == 3 and "lower bound" in speedscope.json()["name"]
