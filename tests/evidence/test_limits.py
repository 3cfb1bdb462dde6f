# SPDX-License-Identifier: MIT
"""tm run --file, --limit and their companions: evidence before the memory is gone."""
import resource
import signal
import time

import pytest

import corpses
import evidence
from evidence import all_is_well, ask, run_traced

kernel_cores = pytest.mark.skipif(
    corpses.kernel_writes_cores() is not None, reason=str(corpses.kernel_writes_cores())
)


def no_cores():
    """As most systems have it: the soft limit is 0, the hard one is not."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def core_of_the_copy(folder):
    """The copy dies on its own time: its core, once that is whole."""
    deadline = time.monotonic() + 60
    while True:
        cores = list(folder.glob("core*"))
        if cores and ask(cores[0], "check").status == 0:
            return cores[0]
        assert time.monotonic() < deadline, (cores, cores and ask(cores[0], "check"))
        time.sleep(0.05)


def test_dumps_at_the_limit_and_every_step(python, tmp_path):
    """GIVEN a limit of 10 MiB and 20 MB of blocks, THEN a dump at 10 MiB, and one for each 20 % more."""
    program = evidence.write_program(tmp_path)
    options = ["--limit", "10M", "--every", "20%", "--file", "kept.tm"]
    answer = run_traced(python, tmp_path, program, "go", options=options)
    assert answer.status == 0, answer
    dumps = sorted(tmp_path.glob("tm-*.table"), key=lambda path: int(path.stem.rsplit("-", 1)[1]))
    assert answer.err.count("have reached the limit") == len(dumps) >= 5
    sizes = [all_is_well(dump)["size"] for dump in dumps]
    assert 10 << 20 <= sizes[0] < (10 << 20) + 100000
    # How many there are depends on what the interpreter has of its own: after the last one it did not grow by another step.
    peak = all_is_well(tmp_path / "kept.tm")["peak"]
    assert peak - sizes[-1] < 2.2 * (1 << 20)
    assert all(1.9 * (1 << 20) < later - earlier < 2.2 * (1 << 20) for earlier, later in zip(sizes, sizes[1:]))
    evidence.leaking_line(dumps[-1])
    assert all(dump.stat().st_mode & 0o777 == 0o600 for dump in dumps)
    assert not list(tmp_path.glob("*.part"))


def test_a_dump_goes_where_it_was_told(newest, tmp_path):
    """GIVEN a program that goes elsewhere, THEN a relative path is still that of the user."""
    program = evidence.write_program(tmp_path, "import os\nos.chdir('/')\nkeep = [bytes(1000) for i in range(9999)]\n")
    options = ["--limit", "5M", "--dump-file", "dump.table", "--file", "kept.tm"]
    assert run_traced(newest, tmp_path, program, options=options).status == 0
    all_is_well(tmp_path / "dump.table")
    all_is_well(tmp_path / "kept.tm")


@kernel_cores
def test_core_of_a_copy(newest, tmp_path):
    """GIVEN --on-limit core and a soft limit of 0 for cores, THEN a core, and a service that lives on without a child."""
    program = evidence.write_program(
        tmp_path,
        "import os\nkeep = [bytes(1000) for i in range(9999)]\n"
        "try:\n    os.waitpid(-1, os.WNOHANG)\nexcept ChildProcessError:\n    print('no child')\nprint('alive')\n",
    )
    answer = run_traced(
        newest, tmp_path, program, options=["--limit", "5M", "--on-limit", "core"], preexec_fn=no_cores
    )
    assert answer.status == 0 and answer.out == "no child\nalive\n", answer
    core = core_of_the_copy(tmp_path)
    assert all_is_well(core)["size"] >= 5 << 20
    evidence.leaking_line(core, line=2)


@kernel_cores
def test_abort_at_the_limit(newest, tmp_path):
    program = evidence.write_program(tmp_path)
    answer = run_traced(
        newest, tmp_path, program, "go", options=["--limit", "5M", "--on-limit", "abort"], preexec_fn=no_cores
    )
    assert answer.status == -signal.SIGABRT and "aborting" in answer.err, answer
    (core,) = tmp_path.glob("core*")
    evidence.leaking_line(core)


def test_works_where_there_is_no_memory_left(newest, tmp_path):
    """GIVEN ulimit -v, WHEN MemoryError comes, THEN the dump at a limit just below is whole."""
    program = evidence.write_program(
        tmp_path,
        "keep = []\ntry:\n    while True:\n        keep.append(bytes(4000))\nexcept MemoryError:\n    print('no memory')\n",
    )

    def little():
        resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))

    answer = run_traced(newest, tmp_path, program, options=["--limit", "100M", "--every", "5"], preexec_fn=little)
    assert answer.status == 0 and answer.out == "no memory\n", answer
    dumps = list(tmp_path.glob("*.table"))
    assert len(dumps) > 5
    for dump in dumps:
        all_is_well(dump)


INSIDE = """\
import mmap, os, sys
room = mmap.mmap(-1, 64 << 20)
keep = []
try:
    while True:
        keep.append(bytes(4000))
except MemoryError:
    before = len(keep)
    room.close()
    print(before, sys.getsizeof(keep[0]), flush=True)
    for i in range(int(sys.argv[1])):
        keep.append(bytes(4000))
"""


@pytest.mark.parametrize("what", ["dump", pytest.param("core", marks=kernel_cores), pytest.param("abort", marks=kernel_cores)])
def test_inside_a_memory_error(newest, tmp_path, what):
    """GIVEN a limit that is crossed where a MemoryError is handled, below ulimit -v, THEN a dump, or a core, with every block
    but those that it says are lost."""

    def little():
        resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    program = evidence.write_program(tmp_path, INSIDE)
    blocks, size = map(int, run_traced(newest, tmp_path, program, 0, preexec_fn=little).out.split())
    options = ["--limit", blocks * size + (12 << 20), "--on-limit", what]
    answer = run_traced(newest, tmp_path, program, 6000, options=options, preexec_fn=little)
    assert answer.status == (-signal.SIGABRT if what == "abort" else 0), answer
    assert answer.err.count("have reached the limit") == 1 and answer.out, answer
    (found,) = tmp_path.glob("*.table") if what == "dump" else [core_of_the_copy(tmp_path)]
    lost = all_is_well(found)["lost"]
    stats = ask(found, "top", "--json").json()["stats"]
    count = {stat["traceback"][0]["lineno"]: stat["count"] for stat in stats}
    assert count[12] > 0  # it was crossed in there
    before = int(answer.out.split()[0])
    assert before - lost <= count[6] <= before + 10, (count, lost)  # the list itself, too


def test_an_image_is_never_written_over_anything(newest, tmp_path):
    program = evidence.write_program(tmp_path)
    env = corpses.clean_environment(PYTHONTM_LIMIT="5M", PYTHONTM_DUMP="taken")
    (tmp_path / "taken").write_text("precious")
    answer = run_traced(newest, tmp_path, program, "go", env=env)
    assert answer.status == 0 and "File exists" in answer.err, answer
    assert (tmp_path / "taken").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["program.py", "taken"]


def test_nonsense_in_the_environment_is_told(newest, tmp_path):
    program = evidence.write_program(tmp_path)
    env = corpses.clean_environment(PYTHONTM_LIMIT="5 monkeys")
    answer = run_traced(newest, tmp_path, program, "go", env=env)
    assert answer.status == 0 and "PYTHONTM_LIMIT=5 monkeys" in answer.err, answer


@pytest.mark.parametrize(
    "options, words",
    [
        (["--limit", "10X"], "--limit"),
        (["--limit", "2G", "--on-limit", "explode"], "dump, core, abort"),
        (["--limit", "0", "--on-limit", "core"], "--limit"),
        (["--every", "10%"], "--limit"),
        (["--dump-file", "x"], "--limit"),
        (["--limit", "1G", "--every", "0"], "per cent"),
        (["--limit", "1G", "--every", "ten"], "per cent"),
        (["--limit", "1G", "--every", "10", "--dump-file", "x"], "%n"),
        (["--limit", "1G", "--on-limit", "core", "--dump-file", "x"], "core_pattern"),
        (["--limit", "1G", "--on-limit", "abort", "--every", "10"], "abort"),
        (["--file", "/nonexistent/x"], "No such file"),
        (["--file", "program.py"], "never overwritten"),
        (["--file", ""], "needs a path"),
        (["--file", "x" * 5000], "path"),
    ],
)
def test_options_that_are_refused(newest, tmp_path, options, words):
    program = evidence.write_program(tmp_path, "print('ran')")
    answer = run_traced(newest, tmp_path, program, options=options)
    assert answer.status == 2 and words in answer.err and answer.err.startswith("tm: "), answer
    assert answer.out == ""
