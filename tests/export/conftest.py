# SPDX-License-Identifier: MIT
"""Real cores of program.py, and `tm export` of them."""
from pathlib import Path

import pytest

import corpses

PROGRAM = Path(__file__).parent / "program.py"


@pytest.fixture(scope="session")
def cores(tmp_path_factory):
    """Cores by (python, leak); each is made when first asked for."""
    made = {}

    def core(python, leak=60, n=25):
        key = (python.executable, leak, n)
        if key not in made:
            folder = tmp_path_factory.mktemp("export")
            made[key] = corpses.gcore_core(corpses.traced(python, PROGRAM, leak, n=n), folder)
        return made[key]

    yield core
    for path in made.values():
        path.unlink()


@pytest.fixture(scope="session")
def core(newest, cores):
    return cores(newest)


@pytest.fixture(scope="session")
def top(core):
    """What everything is held against: the answer of top, by traceback."""
    answer = corpses.cli(core, "top", "--all", "--json", "--by", "traceback")
    assert answer.status == 0, answer
    return answer.json()


@pytest.fixture
def export(tmp_path):
    """Bytes of an export, written to a file."""

    def run(source, format, *words):
        path = tmp_path / "exported"
        answer = corpses.cli(source, "export", "--format", format, "-o", path, "--force", *words)
        assert answer.status == 0 and not answer.err, answer
        return path.read_bytes()

    return run
