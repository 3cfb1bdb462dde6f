# SPDX-License-Identifier: MIT
"""Samples of every layout version that there ever was: what was answered on the day must be answered for ever."""
import json

import pytest

import corpses
from evidence import ask

FOLDER = corpses.ROOT / "core-samples"
SAMPLES = sorted(FOLDER.glob("layout-*/*.zst"))


def within(expected, found, where=""):
    """Answers may gain members; they must not lose or change one."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in found, (where, key)
            within(value, found[key], "%s.%s" % (where, key))
    elif isinstance(expected, list):
        assert len(expected) == len(found), where
        for i, (left, right) in enumerate(zip(expected, found)):
            within(left, right, "%s[%d]" % (where, i))
    else:
        assert expected == found, where


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: "%s/%s" % (path.parent.name, path.stem))
def test_sample(path):
    for name, then in json.loads(path.with_suffix(".json").read_text()).items():
        verb, *options = then["words"]
        plain = [] if verb in ("info", "check") else ["--no-source"]
        answer = ask(path, verb, *options, "--json", *plain)
        assert answer.status == then["status"], (name, answer)
        within(then["answer"], answer.json(), name)


def test_there_are_samples_of_every_layout():
    header = (corpses.ROOT / "runtime" / "layout.h").read_text()
    version = header.split("#define TM_LAYOUT_VERSION ")[1].split()[0]
    for layout in range(1, int(version) + 1):
        here = [path.name for path in SAMPLES if path.parent.name == "layout-%d" % layout]
        assert {name.split("-")[0] for name in here} == {"kernel", "gcore", "file"} and len(here) >= 9, layout


def test_samples_stay_small():
    assert all(path.stat().st_size <= 150 * 1024 for path in SAMPLES)
    assert sum(path.stat().st_size for path in FOLDER.glob("layout-*/*")) <= 1 << 20
