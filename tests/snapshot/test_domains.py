# SPDX-License-Identifier: MIT
"""Blocks of foreign domains in a real program: what filters by domain leave is what the program tracked there."""

import json

import pytest

import corpses

PROGRAM = """\
import ctypes, os
track = ctypes.pythonapi.PyTraceMalloc_Track
track.argtypes = [ctypes.c_uint, ctypes.c_void_p, ctypes.c_size_t]
def hold(domain, count, size):
    for i in range(count):
        assert track(domain, 0x1000 * domain + i, size) == 0
hold(7, 10, 1000)
hold(8, 3, 50000)
os.abort()
"""


@pytest.fixture(scope="module")
def core(newest, tmp_path_factory):
    """The standard library's own table, in which ctypes can track."""
    folder = tmp_path_factory.mktemp("domains")
    (folder / "app.py").write_text(PROGRAM)
    return corpses.kernel_core([newest.executable, "-X", "tracemalloc=5", "app.py"], folder)


@pytest.mark.parametrize("dumped", [False, True])
def test_domains(ask, core, tmp_path, dumped):
    source = core
    if dumped:
        source = tmp_path / "dumped.tm"
        ask("dump", core, source)

    def total(*words):
        answer = json.loads(ask("top", source, "--all", "--json", *words)[0])
        assert sum(entry["size"] for entry in answer["stats"]) == answer["selected"]["size"]
        return answer["selected"]["size"], answer["selected"]["count"]

    whole = json.loads(ask("info", source, "--json")[0])["total"]
    assert total("--domain", "7") == (10000, 10)
    assert total("--domain", "7", "--domain=8") == (160000, 13)
    assert total("--domain", "9") == (0, 0)
    python = total("--domain", "0")
    assert python == (whole["size"] - 160000, whole["count"] - 13)
    assert total("--exclude-domain", "0") == (160000, 13)
    assert total("--include", "*app.py:7", "--exclude-domain", "0", "--all-frames") == (10000, 10)
    if not dumped:
        blocks = json.loads(ask("blocks", source, "--all", "--json", "--domain", "8")[0])["blocks"]
        assert [(block["address"], block["size"], block["domain"]) for block in blocks] == [
            (hex(0x8000 + i), 50000, 8) for i in range(3)
        ]
