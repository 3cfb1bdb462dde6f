# SPDX-License-Identifier: MIT
"""What the tests of the runtime share: traced programs, and a C library of native threads."""
import subprocess

import pytest
import traced_process


@pytest.fixture
def traced(python):
    """traced(program, *arguments, frames=25, ...): runs programs/PROGRAM.py under tm and gives its last line, decoded."""
    def run(program, *arguments, **options):
        return traced_process.run(python.executable, program, *arguments, **options)
    return run


@pytest.fixture(scope="session")
def native(tmp_path_factory):
    """native.c as a shared library: threads that Python does not know.  It is built here: it serves all interpreters."""
    library = tmp_path_factory.mktemp("native") / "libnative.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-pthread", "-Wall", "-Wextra", "-Werror", "-o", str(library),
                    str(traced_process.HERE / "native.c")], check=True)
    return str(library)
