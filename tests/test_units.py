# SPDX-License-Identifier: MIT
"""The C unit tests (cmocka), each program as one test: as it is built, and with ASan and UBSan."""
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(ROOT.glob("tests/*/test_*.c"))


@pytest.mark.parametrize("build", ["build", "build/sanitize"], ids=["plain", "sanitize"])
@pytest.mark.parametrize("source", SOURCES, ids=["%s/%s" % (source.parent.name, source.stem) for source in SOURCES])
def test_unit(source, build, tmp_path):
    program = ROOT / build / source.relative_to(ROOT).with_suffix("")
    assert program.exists(), "not built: make units build-sanitize"
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1:abort_on_error=0", UBSAN_OPTIONS="print_stacktrace=1")
    done = subprocess.run(
        [str(program)], cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")
