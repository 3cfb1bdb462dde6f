# SPDX-License-Identifier: MIT
"""A table file must never hurt its program or anybody's file: disks that are full, limits, links, forks, daemons."""
import os
import resource
import signal
import subprocess

import pytest

import corpses
import evidence
from evidence import all_is_well, ask, run_traced


def with_file(name, **more):
    return corpses.clean_environment(PYTHONTM_FILE=str(name), **more)


def test_existing_files_and_links_are_left_alone(newest, tmp_path):
    """GIVEN a file, a link, a dangling link in the place of the table, THEN none is touched and the program runs."""
    program = evidence.write_program(tmp_path, "print('ran')")
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "link").symlink_to("precious")
    (tmp_path / "dangling").symlink_to("elsewhere")
    for name in ("precious", "link", "dangling"):
        answer = run_traced(newest, tmp_path, program, env=with_file(tmp_path / name))
        assert (answer.status, answer.out) == (0, "ran\n") and "kept in memory" in answer.err, answer
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_file_is_its_owners_alone(newest, tmp_path):
    program = evidence.write_program(tmp_path, "import os; os.umask(0); print('ran')")
    env = with_file(tmp_path / "a.tm", PYTHONTM_LIMIT="100K", PYTHONTM_DUMP=str(tmp_path / "b.tm"))
    assert run_traced(newest, tmp_path, program, env=env, preexec_fn=lambda: os.umask(0)).status == 0
    assert [path.stat().st_mode & 0o7777 for path in sorted(tmp_path.glob("*.tm"))] == [0o600, 0o600]


def test_a_pid_that_comes_again(newest, tmp_path):
    """GIVEN a program that replaces itself (the same pid), THEN both lives have a file."""
    program = evidence.write_program(
        tmp_path,
        "import os, sys\nkeep = [bytes(999) for i in range(999)]\n"
        "if sys.argv[1] == '1': os.execv(sys.executable, [sys.executable, __file__, '2'])\nos.kill(os.getpid(), 9)\n",
    )
    assert run_traced(newest, tmp_path, program, "1", env=with_file(tmp_path / "%p.tm")).status == -signal.SIGKILL
    names = sorted(path.name for path in tmp_path.glob("*.tm*"))
    assert len(names) == 2 and names[1] == names[0] + ".2", names
    for name in names:
        all_is_well(tmp_path / name)


def test_file_size_limit_is_no_signal(newest, tmp_path):
    """GIVEN ulimit -f, THEN what does not fit is lost and counted; no SIGXFSZ, whatever its disposition."""
    program = evidence.write_program(
        tmp_path,
        "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nkeep = [bytes(500) for i in range(200000)]\n"
        "import os\nprint('ran', flush=True)\nos.kill(os.getpid(), 9)\n",
    )

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (24 << 20, 24 << 20))

    env = with_file(tmp_path / "a.tm", PYTHONTM_LIMIT="10M", PYTHONTM_DUMP=str(tmp_path / "dump.table"))
    answer = run_traced(newest, tmp_path, program, env=env, preexec_fn=limit)
    assert (answer.status, answer.out) == (-signal.SIGKILL, "ran\n"), answer
    path = tmp_path / "a.tm"
    total = all_is_well(path)
    assert total["lost"] > 10000, total
    assert path.stat().st_size <= 24 << 20
    # So small that not even the first page fits: the table stays in memory.
    answer = run_traced(
        newest,
        tmp_path,
        evidence.write_program(tmp_path, "print('ran')", "small.py"),
        env=with_file(tmp_path / "b.tm"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert answer.status == 0 and "kept in memory" in answer.err, answer
    assert not (tmp_path / "b.tm").exists()


@pytest.fixture
def small_disk(disk_of):
    return disk_of("24m")


@pytest.fixture
def roomy_disk(disk_of):
    return disk_of("64m")


def test_disk_full(newest, tmp_path, small_disk):
    """GIVEN a disk that fills up, THEN traces are lost and counted, no SIGBUS, and the file reads."""
    program = evidence.write_program(
        tmp_path,
        "import os, signal\nkeep = [bytes(500) for i in range(200000)]\n"
        "print('ran', flush=True)\nos.kill(os.getpid(), 9)\n",
    )
    answer = run_traced(newest, tmp_path, program, env=with_file(small_disk / "a.tm"))
    assert (answer.status, answer.out) == (-signal.SIGKILL, "ran\n"), answer
    total = all_is_well(small_disk / "a.tm")
    assert total["lost"] > 10000 and total["count"] > 10000, total


def test_image_on_a_full_disk_leaves_nothing(newest, tmp_path, small_disk):
    program = evidence.write_program(tmp_path, "keep = [bytes(100) for i in range(1000000)]\nprint('ran')\n")
    (small_disk / "ballast").write_bytes(b"x" * (18 << 20))
    env = corpses.clean_environment(PYTHONTM_LIMIT="120M", PYTHONTM_DUMP=str(small_disk / "dump.table"))
    answer = run_traced(newest, tmp_path, program, env=env)
    assert (answer.status, answer.out) == (0, "ran\n") and "No space left" in answer.err, answer
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_signals_do_not_lose_traces(newest, tmp_path, roomy_disk):
    """GIVEN signals all the time (tmpfs gives up making room for any), THEN nothing is lost."""
    program = evidence.write_program(
        tmp_path,
        "import os, signal\nsignal.signal(signal.SIGALRM, lambda *a: None)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)\nkeep = [bytes(1500) for i in range(20000)]\n"
        "os.kill(os.getpid(), 9)\n",
    )
    run_traced(newest, tmp_path, program, env=with_file(roomy_disk / "a.tm"))
    assert all_is_well(roomy_disk / "a.tm")["lost"] == 0


FORKS = """\
import os, signal, sys, threading
keep = [bytes(1000) for i in range(20000)]
stop = False

def churn():
    while not stop:
        [bytes(700) for i in range(500)]

if sys.argv[1] == "busy":
    threading.Thread(target=churn, daemon=True).start()
child = os.fork()
keep += [bytes(1000) for i in range(5000 if child else 8000)]
if not child:
    os.kill(os.getpid(), 9)
_, status = os.waitpid(child, 0)
assert status == 9, status
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["quiet", "busy"])
def test_fork_gives_each_child_its_own_file(python, tmp_path, how):
    """GIVEN a fork, with and without another thread at work, THEN parent and child have a true file each."""
    program = evidence.write_program(tmp_path, FORKS)
    answer = run_traced(python, tmp_path, program, how, env=with_file(tmp_path / "%p.tm"))
    assert answer.status == -signal.SIGKILL, answer
    files = sorted(tmp_path.glob("*.tm"), key=lambda path: path.stat().st_mtime)
    assert len(files) == 2, files
    counts = []
    for path in files:
        total = ask(path, "check", "--json")
        if how == "quiet":
            all_is_well(path)
        assert total.status in (0, 3) and not total.json().get("incomplete"), total
        assert path.name.split(".")[0] == str(ask(path, "info", "--json").json()["pid"])
        stats = ask(path, "top", "--all", "--json").json()["stats"]
        mine = {s["traceback"][0]["lineno"]: s for s in stats if s["traceback"][0]["filename"].endswith("program.py")}
        assert mine[2]["count"] in range(20000, 20004)  # and the list; 3.14 makes a block more
        counts.append(mine[12]["count"])
    assert sorted(round(count, -3) for count in counts) == [5000, 8000]


def test_fork_without_a_pattern_keeps_the_child_in_memory(newest, tmp_path):
    program = evidence.write_program(tmp_path, FORKS)
    answer = run_traced(newest, tmp_path, program, "quiet", env=with_file(tmp_path / "one.tm"))
    assert answer.status == -signal.SIGKILL, answer
    (path,) = tmp_path.glob("*.tm")
    all_is_well(path)
    assert 20000 + 5000 <= ask(path, "top", "--json").json()["total"]["count"]


def test_fork_on_a_full_disk(newest, tmp_path, small_disk):
    """GIVEN no room for the child's file, THEN the child goes on in memory, and no half file is left."""
    program = evidence.write_program(
        tmp_path,
        "import os, sys\nkeep = [bytes(1000) for i in range(8000)]\nchild = os.fork()\n"
        "keep += [bytes(1000) for i in range(300)]\n"
        "if not child: os._exit(len(os.listdir(sys.argv[1])))\n"
        "_, status = os.waitpid(child, 0)\nprint(os.WEXITSTATUS(status), os.WTERMSIG(status))\n",
    )
    answer = run_traced(newest, tmp_path, program, small_disk, env=with_file(small_disk / "%p.tm"))
    assert (answer.status, answer.out) == (0, "1 0\n"), answer


def test_children_of_other_kinds(newest, tmp_path):
    """GIVEN subprocesses and a pool, THEN every child that is a Python has its own file, and all are true."""
    program = evidence.write_program(
        tmp_path,
        "import multiprocessing, subprocess, sys\n"
        "def f(x): return len([bytes(100) for i in range(100)])\n"
        "if __name__ == '__main__':\n"
        "    subprocess.check_call([sys.executable, '-c', 'pass'])\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool: print(sum(pool.map(f, range(50))))\n",
    )
    answer = run_traced(newest, tmp_path, program, env=with_file(tmp_path / "%p.tm"))
    assert (answer.status, answer.out) == (0, "5000\n"), answer
    files = list(tmp_path.glob("*.tm*"))
    assert len(files) >= 4
    for path in files:
        answer = ask(path, "check", "--json")
        assert answer.status == 0, (path, answer)


def test_a_daemon_that_closes_everything(newest, tmp_path):
    """GIVEN the ritual of daemons (fork twice, chdir, all descriptors closed, others in their place), THEN its file
    grows and holds, and no other file has anything of it."""
    program = evidence.write_program(
        tmp_path,
        "import os, sys, time\n"
        "if os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\n"
        "os.chdir('/')\nos.closerange(0, 256)\n"
        "for i in range(8): os.open(sys.argv[1] + '/other%d' % i, os.O_RDWR | os.O_CREAT)\n"
        "keep = [bytes(1000) for i in range(30000)]\n"
        "os.rename(sys.argv[1] + '/other0', sys.argv[1] + '/done')\nos.kill(os.getpid(), 9)\n",
    )
    env = with_file("d.%p.tm", PYTHONTM_LIMIT="20M")
    process = corpses.start(corpses.traced(newest, program, tmp_path), tmp_path, env=env)
    process.communicate(timeout=60)
    for _ in range(200):
        if (tmp_path / "done").exists() and (tmp_path / "done").stat().st_nlink:
            break
        subprocess.call(["sleep", "0.05"])
    subprocess.call(["sleep", "0.2"])
    biggest = max(tmp_path.glob("d.*.tm"), key=lambda path: path.stat().st_size)
    assert all_is_well(biggest)["size"] > 30000 * 1000
    evidence.leaking_line(biggest, line=8)
    for other in [*tmp_path.glob("other*"), tmp_path / "done"]:
        assert other.stat().st_size == 0, other
    assert len(list(tmp_path.glob("tm-*.table"))) == 1


def test_a_file_that_is_gone_or_replaced(newest, tmp_path):
    """GIVEN a table file that was removed, and another in its place, THEN the program runs and the other is untouched."""
    program = evidence.write_program(
        tmp_path,
        "import os, sys\nos.unlink(sys.argv[1])\nopen(sys.argv[1], 'w').write('mine')\n"
        "keep = [bytes(1000) for i in range(20000)]\nprint(open(sys.argv[1]).read())\n",
    )
    answer = run_traced(newest, tmp_path, program, tmp_path / "a.tm", env=with_file(tmp_path / "a.tm"))
    assert (answer.status, answer.out) == (0, "mine\n"), answer
