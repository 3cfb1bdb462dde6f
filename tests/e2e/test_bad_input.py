# SPDX-License-Identifier: MIT
"""What is no traced Python, or no longer whole: a clear error (exit status 2) or a labelled lower bound (3).

Never a crash, never a wrong number, and always what happened, the likely reason and the next thing to type.
"""
import collections
import os
import re
import shutil
import struct
import subprocess

import pytest

import corpses
from oracles import EVERYTHING

VERBS = [("info",), ("top",), ("traceback", "0x1000")]


def refused(answer, *words, try_what=True):
    """The answer is an error that speaks: one that names what happened, and says what to do."""
    assert answer.status == 2, answer
    assert answer.out == ""
    assert answer.err.startswith("tm: "), answer
    assert not try_what or "Try: " in answer.err, answer
    for word in words:
        assert word in answer.err, (word, answer)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
class TestNoTable:
    def test_not_a_core(self, tm, tmp_path, verb):
        file = tmp_path / "notes.txt"
        file.write_text("Dear diary, today no process died.\n" * 100)
        refused(corpses.cli(file, *verb), str(file))

    def test_empty_file(self, tm, tmp_path, verb):
        file = tmp_path / "core"
        file.touch()
        refused(corpses.cli(file, *verb), "empty")

    def test_no_such_file(self, tm, tmp_path, verb):
        refused(corpses.cli(tmp_path / "core", *verb), str(tmp_path / "core"), "No such file", try_what=False)

    def test_a_directory(self, tm, tmp_path, verb):
        refused(corpses.cli(tmp_path, *verb))

    def test_an_executable(self, tm, verb):
        refused(corpses.cli(shutil.which("sh"), *verb))

    def test_core_of_something_else(self, tm, tmp_path, verb):
        process = corpses.start(["sleep", "60"], tmp_path)
        try:
            core = corpses.gcore(process.pid, tmp_path)
        finally:
            process.kill()
            process.communicate()
        refused(corpses.cli(core, *verb))

    def test_core_of_a_python_without_tm(self, tm, newest, tmp_path, verb):
        program = "import time; print('ready', flush=True); time.sleep(60)"
        core = corpses.gcore_core([newest.executable, "-c", program], tmp_path)
        refused(corpses.cli(core, *verb), "tm run")

    def test_live_python_without_tm(self, tm, newest, tmp_path, verb):
        program = "import time; print('ready', flush=True); time.sleep(60)"
        process = corpses.start([newest.executable, "-c", program], tmp_path)
        try:
            corpses.wait_until_ready(process)
            refused(corpses.cli(process.pid, *verb), "tm run")
        finally:
            process.kill()
            process.communicate()

    def test_pid_gone(self, tm, tmp_path, verb):
        process = corpses.start(["true"], tmp_path)
        process.communicate()
        refused(corpses.cli(process.pid, *verb), str(process.pid))

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs two other users")
    def test_pid_of_somebody_else(self, tm, tmp_path, verb):
        """One user's process, another user's tm."""
        process = corpses.start(["sleep", "60"], tmp_path, user=65533)
        try:
            done = subprocess.run(
                [*as_user(65534, tm_for_all(tmp_path)), verb[0], str(process.pid), *verb[1:]],
                cwd="/",
                env=corpses.clean_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
            )
        finally:
            process.kill()
            process.communicate()
        refused(corpses.Answer(done.returncode, done.stdout, done.stderr), "ermi")


def as_user(uid, *argv):
    return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups", *map(str, argv)]


def tm_for_all(tmp_path):
    """The checkout may lie where other users cannot look: a copy of tm that they can run."""
    folder = tmp_path / "public"
    folder.mkdir()
    shutil.copy(corpses.TM, folder / "tm")
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.geteuid() and str(path) != "/":
            path.chmod(path.stat().st_mode | 0o055)
    return folder / "tm"


@pytest.mark.parametrize("words", [("0",), ("-1",), ("-5",), ("many",), ("1.5",), ("",), ("9" * 30,)], ids=repr)
def test_n_that_is_no_positive_number(any_oracle, words):
    refused(corpses.cli(any_oracle.core, "top", *words))


@pytest.mark.parametrize("address", ["nowhere", "0x", "", "-4096", "12monkeys", "0x1" + "0" * 16], ids=repr)
def test_address_that_is_no_number(any_oracle, address):
    refused(corpses.cli(any_oracle.core, "traceback", address))


def test_words_that_are_not_known(any_oracle):
    refused(corpses.cli(any_oracle.core, "topp"), "topp")
    refused(corpses.cli(any_oracle.core, "top", "--by", "colour"), "colour")
    refused(corpses.cli(any_oracle.core, "top", "--colour-blind"))
    refused(corpses.cli(any_oracle.core, "traceback"))


@pytest.mark.parametrize("face", ["gdb", "lldb"])
def test_the_debuggers_speak_as_clearly(any_oracle, face):
    """GIVEN bad words in a debugger, THEN a sentence, and no Python traceback."""
    for words in (("top", "0"), ("traceback", "0x10"), ("top", "--by", "colour")):
        answer = corpses.FACES[face](any_oracle.core, *words)
        assert answer.out.strip() == "", answer
        said = answer.err
        assert said.strip() and "Traceback (most recent call last)" not in said and "Python Exception" not in said, answer


@pytest.mark.parametrize("kind", ["kernel", "gcore"])
@pytest.mark.parametrize("thousandth", [1, 10, 100, 300, 500, 700, 900, 990, 999])
def test_truncated_core(newest, oracles, tmp_path, kind, thousandth):
    """GIVEN a core that was cut, THEN the whole answer if the table is whole, a labelled lower bound, or a refusal."""
    whole = oracles(newest, kind).core
    reference = corpses.cli(whole, "top", EVERYTHING, "--json").json()
    cut = tmp_path / "core"
    shutil.copy(whole, cut)
    os.truncate(cut, os.path.getsize(whole) * thousandth // 1000)
    answer = corpses.cli(cut, "top", EVERYTHING, "--json")
    if never_more_than(reference, answer) == 2:
        assert "truncated" in answer.err, answer

def never_more_than(reference, answer):
    """The answer about what is left of a core: the whole truth, a labelled lower bound, or a refusal.  Returns which."""
    assert answer.status in (0, 2, 3), answer
    if answer.status == 2:
        refused(answer)
        return 2
    found = answer.json()
    known = {key(stat): stat for stat in reference["stats"]}
    if answer.status == 0:
        assert (found["total"], found["stats"]) == (reference["total"], reference["stats"])
    else:
        assert found["incomplete"], answer
        assert found["total"]["size"] <= reference["total"]["size"]
        assert found["total"]["count"] <= reference["total"]["count"]
        for stat in found["stats"]:
            # Of a line that is named, no more than is true.  What lost its name may be told as unknown.
            if key(stat) in known and stat["traceback"][0]["filename"] != "<unknown>":
                assert stat["size"] <= known[key(stat)]["size"], stat
    return answer.status


def loads(core):
    """(offset of the program header, address, bytes in the file) of each PT_LOAD of a 64-bit little-endian core."""
    with open(core, "rb") as file:
        header = file.read(64)
        at, size, count = struct.unpack_from("<Q", header, 32)[0], *struct.unpack_from("<HH", header, 54)
        for i in range(count):
            file.seek(at + i * size)
            kind, _, _, address, _, in_file, _, _ = struct.unpack("<IIQQQQQQ", file.read(56))
            if kind == 1 and in_file > 0:
                yield at + i * size, address, in_file


@pytest.mark.parametrize("kind", ["kernel", "gcore"])
def test_core_that_lacks_a_segment(newest, oracles, tmp_path, kind):
    """GIVEN a core that lacks one mapping (as coredump_filter or MADV_DONTDUMP leave it), whichever it is, THEN the
    same; and where what is missing is part of the table, it does not go unnoticed."""
    whole = oracles(newest, kind).core
    reference = corpses.cli(whole, "top", EVERYTHING, "--json").json()
    core = tmp_path / "core"
    shutil.copy(whole, core)
    statuses = collections.Counter()
    with open(core, "r+b", buffering=0) as file:
        for header, _, in_file in loads(core):
            if in_file < 65536:
                continue
            file.seek(header + 32)
            file.write(struct.pack("<Q", 0))
            status = never_more_than(reference, corpses.cli(core, "top", EVERYTHING, "--json"))
            statuses[status] += 1
            if status == 3:
                assert "lower bound" in corpses.cli(core, "top", "1").out
            file.seek(header + 32)
            file.write(struct.pack("<Q", in_file))
    # The table is one mapping as a rule: then there is nothing without it (2), otherwise less (3).
    assert statuses[0] and statuses[2] + statuses[3], statuses


def key(stat):
    return tuple((frame["filename"], frame["lineno"]) for frame in stat["traceback"])


def run(*argv):
    done = subprocess.run(
        [str(word) for word in argv],
        env=corpses.clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return corpses.Answer(done.returncode, done.stdout, done.stderr)


def test_run_without_a_program(tm):
    refused(run(tm, "run"))
    refused(run(tm, "run", "-n", "25", "--"))


@pytest.mark.parametrize("n", ["0", "-1", "x", ""])
def test_run_with_a_bad_number(tm, newest, n):
    refused(run(tm, "run", "-n", n, "--", newest, "-c", "pass"))


def test_run_of_what_is_not_there(tm, tmp_path):
    """As env and nohup have it: 127 not found, 126 found but no program."""
    answer = run(tm, "run", "--", tmp_path / "python3", "-c", "pass")
    assert answer.status == 127 and str(tmp_path / "python3") in answer.err, answer
    (tmp_path / "python3").write_text("no program")
    answer = run(tm, "run", "--", tmp_path / "python3", "-c", "pass")
    assert answer.status == 126 and str(tmp_path / "python3") in answer.err, answer


def test_run_says_which_runtime_is_missing(tm, newest, tmp_path):
    """GIVEN an interpreter that nothing was built for, THEN the make line that builds it."""
    shutil.copytree(corpses.ROOT / "build" / "bin", tmp_path / "bin")
    shutil.copytree(corpses.ROOT / "build" / "lib", tmp_path / "lib")
    (tmp_path / "lib" / "python" / "tm" / ("_tm" + newest.suffix)).unlink()
    answer = run(tmp_path / "bin" / "tm", "run", "--", newest, "-c", "print('untraced')")
    named = re.search(r"make PYTHONS=(\S+)", answer.err)
    assert named and os.path.realpath(named.group(1)) == os.path.realpath(newest.executable), answer
    assert "untraced" not in answer.out, answer
    assert answer.status == 2, answer


def test_run_is_transparent(tm, python):
    """Standard streams, arguments and exit status are the program's own."""
    program = "import sys; sys.stdout.write(sys.argv[1]); sys.stderr.write('e'); sys.exit(7)"
    answer = run(tm, "run", "--", python, "-c", program, "a b")
    assert (answer.status, answer.out, answer.err) == (7, "a b", "e")
