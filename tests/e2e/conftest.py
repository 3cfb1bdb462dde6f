# SPDX-License-Identifier: MIT
"""Corpses that several tests look at, made once for each interpreter and each way of making a core."""
import pytest

import corpses
from oracles import make_oracle


def pytest_report_header():
    reason = corpses.kernel_writes_cores()
    return "kernel cores: " + ("yes" if reason is None else "NO (%s): gcore makes them instead" % reason)


@pytest.fixture(scope="session")
def oracles(tmp_path_factory):
    """Corpses by (python, kind); each is made when first asked for."""
    made = {}

    def oracle(python, kind):
        key = (python.executable, kind)
        if key not in made:
            made[key] = make_oracle(python, kind, tmp_path_factory.mktemp("oracle"))
        return made[key]

    yield oracle
    for corpse in made.values():
        corpse.core.unlink()


@pytest.fixture(params=["kernel", "gcore"])
def oracle(request, python, oracles):
    """The oracle's corpse, for each interpreter, from the kernel and from gcore."""
    return oracles(python, request.param)


@pytest.fixture(scope="session")
def any_oracle(newest, oracles):
    """One corpse, where one is enough."""
    return oracles(newest, "kernel")
