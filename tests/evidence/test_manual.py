# SPDX-License-Identifier: MIT
"""docs/getting-evidence.md: every block marked `run` is run as it stands; units and manifests are at least well-formed."""
import os
import re
import resource
import shutil
import subprocess

import pytest

import corpses

TEXT = (corpses.ROOT / "docs" / "getting-evidence.md").read_text()
BLOCKS = re.findall(r"```sh run\n(.*?)```", TEXT, re.S)

APP = """\
import os, sys
how = sys.argv[1] if sys.argv[1:] else ""
keep = [bytes(1000 + i % 7) for i in range(25000)]
if how == "wait":
    import time
    time.sleep(30)
elif how == "abort":
    os.abort()
elif how == "hog":
    try:
        while True:
            keep.append(bytearray(1 << 20))
    except MemoryError:
        os.abort()
"""

needs_cores = corpses.kernel_writes_cores()


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block(number, newest, tmp_path):
    script = "\n".join(line[2:] if line.startswith("$ ") else line for line in BLOCKS[number].splitlines())
    if needs_cores and "top core " in script:
        pytest.skip(needs_cores)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tm").write_text('#!/bin/sh\nexec "%s" "$@"\n' % corpses.TM)
    (tmp_path / "bin" / "tm").chmod(0o755)
    (tmp_path / "bin" / "python3").symlink_to(newest.executable)
    (tmp_path / "app.py").write_text(APP)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=str(tmp_path),
        env=corpses.clean_environment(PATH="%s/bin:%s" % (tmp_path, os.environ["PATH"])),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, hard)),
    )
    assert done.returncode == 0, done
    if "tm top" in script:
        assert "app.py:" in done.stdout, done
    if "tm watch" in script:
        assert "saved tm-" in done.stdout, done


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")
def test_unit(tmp_path):
    unit = re.search(r"```ini\n(.*?)```", TEXT, re.S).group(1).replace("ExecStart=\n", "", 1)
    unit = unit.replace("/usr/local/bin/tm", corpses.TM)
    (tmp_path / "app.service").write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "app.service")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert "app.service" not in done.stdout, done.stdout
