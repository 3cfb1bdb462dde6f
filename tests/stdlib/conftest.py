# SPDX-License-Identifier: MIT
"""Fixtures over stdlib_cases.py."""
import json

import pytest

from e2e import corpses
from stdlib_cases import INTERPRETERS, ORACLE, Case, environment, identifier, kernel_case


@pytest.fixture(scope="session", params=INTERPRETERS, ids=identifier)
def interpreter(request):
    return request.param


@pytest.fixture(scope="session")
def cases(interpreter, tmp_path_factory):
    """All ways to look at one interpreter's tables: a kernel core with 1 frame, and one process with 25 that is first
    looked at alive and then, killed, through its gcore."""
    folder = tmp_path_factory.mktemp("stdlib")
    made = {}
    reason = corpses.kernel_writes_cores()
    if reason is None:
        made["kernel"] = kernel_case(interpreter, 1, 200_000, folder)
    answers = folder / "waiting.json"
    process = corpses.start([interpreter, ORACLE, answers, 40_000, "wait"], folder, env=environment(25))
    try:
        corpses.wait_until_ready(process)
        said = json.loads(answers.read_text())
        made["live"] = Case(process.pid, said)
        made["gcore"] = Case(corpses.gcore(process.pid, folder), said)
        if "kernel" not in made:
            made["kernel"] = made["gcore"]
        yield made
    finally:
        process.kill()
        process.communicate()
        for core in folder.glob("core*"):
            core.unlink()
