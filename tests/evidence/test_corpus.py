# SPDX-License-Identifier: MIT
"""What fuzzing began with and what it found: the sanitized reader survives each of them.  (`make fuzz` looks for more.)"""
import pytest

import corpses
import evidence

FILES = sorted(
    path
    for name in ("fuzz_core", "fuzz_table_file", "fuzz_unpack")
    for path in (corpses.ROOT / "tests" / "fuzz" / "corpus" / name).iterdir()
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: "%s/%s" % (path.parent.name, path.name))
def test_seed(path):
    for verb in ("top", "check"):
        evidence.ask(path, verb, "--json", tm=evidence.SANITIZED)


@pytest.mark.parametrize("version", [1, 2])
def test_a_table_written_from_the_document_alone(version):
    """GIVEN tables that another program wrote after LAYOUT.md (make-corpus), THEN they are read, to the byte."""
    path = corpses.ROOT / "tests" / "fuzz" / "corpus" / "fuzz_table_file" / ("with-map-%d.zst" % version)
    answer = evidence.ask(path, "check", "--json").json()
    assert answer["findings"] == [] and "incomplete" not in answer
    assert answer["total"] == {"size": 100 + (5 << 30), "count": 2, "peak": 100 + (5 << 30), "lost": 0}
    places = [
        (stat["traceback"][0]["filename"], stat["traceback"][0]["lineno"], stat["size"])
        for stat in evidence.ask(path, "top", "--json").json()["stats"]
    ]
    assert places == [("/src/a.py", 20, 5 << 30), ("/src/a.py", 10, 100)]
