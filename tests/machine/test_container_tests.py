# SPDX-License-Identifier: MIT
"""What `make test` can do in a container only in part: here nothing of it is left out."""
import os
import subprocess
import sys

import corpses

# An emulated machine needs five times as long.
PATIENT = {"sleep": 'exec /bin/sleep $(($1 * 5))', "timeout": 'seconds=$1; shift; exec /usr/bin/timeout $((seconds * 5)) "$@"'}


def test_nothing_is_skipped(core_pattern, tmp_path):
    """GIVEN a kernel that writes cores where programs are, and control groups of version 2, THEN tm run, tm watch and the
    manual's other blocks do what they do elsewhere, and no test is skipped.  (The OOM killer is in test_systemd.py: here an
    emulated machine would have to save two copies within a second.)"""
    for name, script in PATIENT.items():
        (tmp_path / name).write_text("#!/bin/sh\n%s\n" % script)
        (tmp_path / name).chmod(0o755)
    core_pattern.write_text("core")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/evidence/test_manual.py", "tests/evidence/test_watch.py"]
        + ["-k", "not test_oom_killer"],
        cwd=str(corpses.ROOT),
        env=dict(os.environ, PATH="%s:%s" % (tmp_path, os.environ["PATH"])),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0 and "skipped" not in done.stdout, done.stdout
