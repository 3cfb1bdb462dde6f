# SPDX-License-Identifier: MIT
"""systemd's units and its cores; control groups of version 2, and the OOM killer that belongs to them."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import corpses
import manual
from manual import LEAK


def show(unit, what):
    return manual.run("systemctl show --value -p %s %s" % (what, unit)).strip()


def limit(unit, size):
    manual.run("systemctl set-property --runtime %s MemoryMax=%s MemorySwapMax=0" % (unit, size))


def has_begun():
    """Whether the service has 20 MiB: its program leaks already."""
    return table_files() and int(show("app", "MemoryCurrent")) > 20 << 20


def table_files():
    return list(Path("/var/lib/app").glob("app.*.tm"))


def a_core():
    """systemd-coredump compresses for a while."""
    folder = Path("/var/lib/systemd/coredump")
    return manual.wait_for(lambda: [path for path in folder.glob("core.*.zst") if path.stat().st_size])[0]


def names_the_line(path):
    said = manual.run("tm top %s" % path)
    assert LEAK in said.splitlines()[3], said


def test_manual(tmp_path, app_service, cores):
    """GIVEN the files of the manual's page, THEN each of its commands names the line."""
    said = manual.perform("systemd", tmp_path, **{"/var/lib/app/": lambda: manual.wait_for(has_begun), "list": a_core})
    manual.all_answers_name(said, LEAK)
    listed = dict(said)["coredumpctl list python3"]
    assert "SIGABRT present" in listed, listed
    assert "oom-kill" in [answer for command, answer in said if "MemoryMax" in command][0], said


PAGE = (corpses.ROOT / "docs" / "debuggers.md").read_text()
DEBUGGERS = re.findall(r"^    (coredumpctl debug .*?)(?:  .*)?$", PAGE, re.M)


@pytest.mark.parametrize("line", DEBUGGERS)
def test_debuggers(line, tmp_path, cores):
    """The forms of `coredumpctl debug` that docs/debuggers.md has."""
    manual.run("systemd-run --wait -p LimitCORE=infinity tm run -n 25 -- python3 /srv/app.py abort || true")
    a_core()
    pid = json.loads(manual.run("coredumpctl list --json=short python3"))[-1]["pid"]
    said = manual.run("echo tm top 5 | " + line.replace("PID", str(pid)), tmp_path)
    if "--json" in line:
        said = said[said.index("{") :]
        frame = json.loads(said.splitlines()[0])["stats"][0]["traceback"][0]
        assert LEAK == "%s:%d" % (os.path.basename(frame["filename"]), frame["lineno"])
    assert LEAK.split(":")[0] in said, said


def test_unit_that_is_killed(tmp_path, app_service):
    """GIVEN the page's unit with a limit, THEN the kernel's OOM killer ends it, and the file has every block.  It strikes
    when memory is touched for the first time, which the hook does, too: one operation may be half done."""
    manual.write_file(manual.SECTIONS["systemd"][0][1])
    manual.run("systemctl daemon-reload")
    limit("app", "100M")
    manual.run("systemctl start app")
    manual.wait_for(lambda: show("app", "Result") == "oom-kill")
    (file,) = table_files()
    names_the_line(file)
    said = json.loads(manual.run("tm check --json %s || [ $? = 3 ]" % file))
    total, scan = said["total"], said["scan"]
    assert abs(total["count"] - scan["count"]) <= 1 and abs(total["size"] - scan["size"]) < 5000, said
    assert len(said["findings"]) == said["different_stacks"] <= 1, said
    assert total["size"] > 60 << 20 and total["lost"] == 0, said


def test_cores_at_a_limit(tmp_path, cores):
    """GIVEN tm run --on-limit core in a group with a limit, THEN systemd has a core from before the kill."""
    manual.run(
        "systemd-run --wait -p LimitCORE=infinity -p MemoryMax=100M -p MemorySwapMax=0"
        " tm run --limit 30M --on-limit core --every 50% -- python3 /srv/app.py || true"
    )
    names_the_line(a_core())


def test_cut_core(tmp_path, cores):
    """GIVEN a core that systemd has cut, THEN tm says so, and where its limits are."""
    path = Path("/etc/systemd/coredump.conf.d/z-small.conf")
    path.parent.mkdir(exist_ok=True)
    path.write_text("[Coredump]\nProcessSizeMax=20M\nExternalSizeMax=20M\n")
    try:
        manual.run("systemd-run --wait -p LimitCORE=infinity tm run -n 25 -- python3 /srv/app.py abort || true")
        core = a_core()
    finally:
        path.unlink()
    done = subprocess.run([corpses.TM, "top", str(core)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert done.returncode in (2, 3) and "ProcessSizeMax" in done.stderr + done.stdout, done


# ---- tm watch ----------------------------------------------------------------------------------------------------------


def first_alarm(folder, group, at):
    words = [corpses.TM, "watch", "--cgroup", group, "--at", at]
    watch = subprocess.Popen(words, cwd=str(folder), stdout=subprocess.PIPE, text=True)
    try:
        return watch.stdout.readline()
    finally:
        watch.kill()
        watch.communicate()


def write_traced_service(program="/srv/app.py"):
    """app.service, without a table file."""
    Path("/etc/systemd/system/app.service").write_text(
        "[Service]\nExecStart=/usr/local/bin/tm run -n 25 -- /usr/bin/python3 %s\n" % program
    )
    for path in Path("/etc/systemd/system/app.service.d").glob("*"):
        path.unlink()
    manual.run("systemctl daemon-reload")


def test_manual_watch(tmp_path, app_service):
    """GIVEN a service that leaks up to its limit, THEN the page's tm watch saves it before the kill, and keeps the last 5."""
    write_traced_service()
    limit("app", "200M")
    manual.run("systemctl start app")
    ((_, said),) = manual.perform("From outside", tmp_path)
    assert show("app", "Result") == "oom-kill"
    assert "the group is gone" in said and "saved /var/crash/app-" in said and "of 200 MiB" in said, said
    kept = sorted(Path("/var/crash").glob("app-*.table"))
    assert 1 <= len(kept) <= 5, said
    for path in kept:
        assert LEAK in manual.run("tm top %s 1 || [ $? = 3 ]" % path)


def test_pressure(tmp_path, app_service):
    """GIVEN a service that the kernel slows before it kills it (MemoryHigh), THEN the pressure on it is an alarm, although
    its use is below what was asked for."""
    write_traced_service()
    manual.run("systemctl set-property --runtime app MemoryHigh=170M MemoryMax=200M MemorySwapMax=0")
    manual.run("systemctl start app")
    line = first_alarm(tmp_path, "system.slice/app.service", "95%")
    found = re.search(r"of 200 MiB \((\d+) %\), pressure (\d+) %: saved", line)
    assert found and int(found.group(1)) < 95 and int(found.group(2)) >= 20, line
    assert LEAK in manual.run("tm top tm-*-1.table 1 || [ $? = 3 ]", tmp_path)


# It waits for memory for 0.6 s in every fifteen or more: an average over ten seconds never reaches 20 %.
GUSTS = """\
import mmap, time

def waited():
    full = open("/sys/fs/cgroup/system.slice/app.service/memory.pressure").read().splitlines()[1]
    return int(full.split("total=")[1])

keep = [bytes(4000) for i in range(20000)]
for gust in range(4):
    time.sleep(15)
    more, end = [], waited() + 600000
    while waited() < end:
        more.append(mmap.mmap(-1, 128 << 10))
        more[-1].write(bytes(128 << 10))
    del more
"""


def test_short_pressure(tmp_path, app_service):
    """GIVEN a service that waits for memory now and then, for less than a second, THEN that is an alarm, too."""
    (tmp_path / "gusts.py").write_text(GUSTS)
    write_traced_service(tmp_path / "gusts.py")
    manual.run("systemctl set-property --runtime app MemoryHigh=100M MemoryMax=200M MemorySwapMax=0")
    manual.run("systemctl start app")
    line = first_alarm(tmp_path, "system.slice/app.service", "56%")
    found = re.search(r"of 200 MiB \((\d+) %\), pressure (\d+) %: saved", line)
    assert found and int(found.group(1)) < 56 and int(found.group(2)) >= 20, line
    assert "gusts.py:7" in manual.run("tm top tm-*-1.table 1 || [ $? = 3 ]", tmp_path)


def test_watched_slice(tmp_path):
    """GIVEN a slice, whose processes are all in groups below it, THEN its limit counts, and they are found."""
    unit = Path("/etc/systemd/system/tmtest.slice")
    unit.write_text("[Slice]\nMemoryMax=150M\n")
    manual.run("systemctl daemon-reload")
    manual.run("systemd-run --slice=tmtest --unit=in-a-slice tm run -n 25 -- python3 /srv/app.py")
    line = first_alarm(tmp_path, "tmtest.slice", "50%")
    assert "of 150 MiB" in line and ": saved tm-" in line, line
    assert LEAK in manual.run("tm top tm-*-1.table 1 || [ $? = 3 ]", tmp_path)
