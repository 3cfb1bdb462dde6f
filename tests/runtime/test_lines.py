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


def test_all_lines_of_standard_modules(python, tmp_path):
    """GIVEN every instruction of many modules / WHEN asked for in any order / THEN its line is what CPython says"""
    library = tmp_path / "lines.so"
    subprocess.run(["cc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-I", str(ROOT), "-isystem", headers_of(python),
                    str(ROOT / "runtime" / "lines.c"), "-o", str(library)], check=True)
    done = subprocess.run([python.executable, str(traced_process.HERE / "lines" / "all_lines.py"), str(library)],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100000
