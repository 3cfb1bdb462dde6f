# SPDX-License-Identifier: MIT
"""Settings of a kernel that a container shares with its host, and so may not change."""
import struct
from pathlib import Path

import pytest

import manual
from manual import LEAK

MEMORY = Path("/proc/sys/vm")
HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def test_five_levels_of_page_tables():
    """All tests here have run with them, where the processor of this machine is QEMU's `max`."""
    assert "la57" in Path("/proc/cpuinfo").read_text().split()


@pytest.mark.parametrize(
    "path, value, back",
    [(MEMORY / "overcommit_memory", "2", "0"), (MEMORY / "overcommit_memory", "1", "0"), (HUGE_PAGES, "always", "madvise")],
)
@pytest.mark.parametrize("options", ["", "--file app.%p.tm"])
def test_memory_policies(path, value, back, options, tmp_path, core_pattern):
    """GIVEN a kernel that promises no more memory than it has, or any, or gives huge pages unasked, THEN the table is
    whole, and no huge page has made it larger than it was."""
    core_pattern.write_text("core")
    path.write_text(value)
    try:
        manual.run("ulimit -c unlimited; tm run -n 25 %s -- python3 /srv/app.py abort || true" % options, tmp_path)
    finally:
        path.write_text(back)
    source = "app.*.tm" if options else "core"
    assert "all is well" in manual.run("tm check " + source, tmp_path)
    said = manual.run("tm top %s" % source, tmp_path)
    assert LEAK in said.splitlines()[3], said


def test_huge_pages_cost_nothing(tmp_path):
    """GIVEN huge pages for all, THEN tracing costs no more resident memory than it does without: the table is sparse."""
    script = (
        "keep = [bytes(4000) for i in range(2000)];"
        "print([line for line in open('/proc/self/status') if line.startswith('VmRSS')][0].split()[1])"
    )
    cost = {}
    before = HUGE_PAGES.read_text().split("[")[1].split("]")[0]
    try:
        for value in ("never", "always"):
            HUGE_PAGES.write_text(value)
            plain = int(manual.run('python3 -c "%s"' % script, tmp_path))
            cost[value] = int(manual.run('tm run -- python3 -c "%s"' % script, tmp_path)) - plain
    finally:
        HUGE_PAGES.write_text(before)
    assert cost["always"] < cost["never"] + 4096, cost


# Each page is a mapping of its own, for no two neighbours may do the same.
MAPPINGS = """\
import mmap, os
keep = [bytes(1000) for i in range(20000)]
pages = []
for i in range(40000):
    pages.append(mmap.mmap(-1, 4096, prot=mmap.PROT_READ))
    pages.append(mmap.mmap(-1, 4096))
    pages[-1][0] = 1
os.abort()
"""


def test_core_of_more_segments_than_its_header_can_count(tmp_path, core_pattern):
    """GIVEN a kernel that allows more mappings, THEN its core of 80,000 (PN_XNUM, elf(5)) is read, in GDB too."""
    core_pattern.write_text("core")
    (tmp_path / "program.py").write_text(MAPPINGS)
    limit = MEMORY / "max_map_count"
    before = limit.read_text()
    try:
        limit.write_text("200000")
        manual.run("ulimit -c unlimited; tm run -n 5 -- python3 program.py || true", tmp_path)
    finally:
        limit.write_text(before)
    with open(tmp_path / "core", "rb") as core:
        assert struct.unpack_from("<H", core.read(64), 56)[0] == 0xFFFF
    assert "all is well" in manual.run("tm check core", tmp_path)
    assert "program.py:2" in manual.run("tm top core 1", tmp_path)
    assert "program.py:2" in manual.run("tm-gdb -batch -c core -ex 'tm top 1'", tmp_path)
