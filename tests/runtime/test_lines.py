# SPDX-License-Identifier: MIT
"""Line tables of big functions: the work that is done for each line, with the structs of each interpreter."""
import subprocess

import traced_process
from test_sanitized import ROOT, headers_of


def test_a_function_of_100_000_lines(python, tmp_path):
    program = tmp_path / "lines"
    subprocess.run(["cc", "-std=gnu11", "-O1", "-g", "-fsanitize=address,undefined", "-I", str(ROOT), "-isystem", headers_of(python),
                    str(traced_process.HERE / "lines" / "lines_work.c"), str(ROOT / "runtime" / "lines.c"), "-o", str(program)],
                   check=True)
    done = subprocess.run([str(program)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                          env={"ASAN_OPTIONS": "detect_leaks=0"})
    print(done.stdout)
    assert done.returncode == 0, done.stdout
