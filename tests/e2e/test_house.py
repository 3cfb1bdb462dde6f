# SPDX-License-Identifier: MIT
"""What the Makefile promises: an installation that can be moved, verbs that are listed, prose that is true."""
import os
import re
import shutil
import subprocess

import corpses
from corpses import ROOT


def make(*words, **options):
    env = corpses.clean_environment()
    env.pop("MAKEFLAGS", None)
    env.pop("MAKELEVEL", None)
    return subprocess.run(
        ["make", "-C", str(ROOT), *map(str, words)], env=env, check=True, stdout=subprocess.PIPE, text=True, **options
    ).stdout


def test_install_can_be_moved(newest, tmp_path):
    """GIVEN an installation that was moved, THEN it traces, and answers in all three faces."""
    make("install", "DESTDIR=%s" % (tmp_path / "stage"), "PREFIX=/opt/tm", "PYTHONS=%s" % newest)
    moved = tmp_path / "elsewhere"
    os.rename(tmp_path / "stage" / "opt" / "tm", moved)
    assert sorted(path.name for path in moved.iterdir()) == ["bin", "lib", "share"]
    argv = [moved / "bin" / "tm", "run", "--", newest, ROOT / "core-samples" / "leak.py"]
    process = corpses.start(argv, tmp_path)
    _, err = process.communicate(timeout=corpses.TIMEOUT)
    if corpses.kernel_writes_cores() is not None:
        return
    (core,) = tmp_path.glob("core*")
    expected = corpses.cli(core, "top", "5", "--json")
    assert expected.status == 0, (expected, err)
    assert subprocess.check_output([str(moved / "bin" / "tm"), "top", str(core), "5", "--json"], text=True) == expected.out
    assert corpses.gdb(core, "top", "5", "--json", script=moved / "share/tm/gdb/tm_gdb.py").out == expected.out
    assert corpses.lldb(core, "top", "5", "--json", script=moved / "share/tm/lldb/tm_lldb.py").out == expected.out
    shutil.rmtree(moved)


def test_help_lists_every_verb():
    text = (ROOT / "Makefile").read_text()
    promised = {"all", "demo", "test", "bench", "bench-reader", "lint", "format", "storm", "fuzz", "test-newest"}
    promised |= {"install", "clean", "sanitize", "check", "help"}
    listed = set(re.findall(r"^  make ([a-z-]+)", make("help"), re.M))
    assert promised <= listed
    assert listed == set(re.findall(r"^([a-z-]+):.*?## ", text, re.M))


def test_the_build_has_no_python_symbols_in_the_preload():
    """It is loaded into everything that a traced program starts."""
    symbols = subprocess.check_output(
        ["readelf", "--dyn-syms", "--wide", str(ROOT / "build" / "lib" / "libtm-preload.so")], text=True
    )
    strong = [line.split()[-1] for line in symbols.splitlines() if " UND " in line and " WEAK " not in line]
    assert not [name for name in strong if name.startswith(("Py", "_Py"))]


def test_readme_names_only_what_exists():
    text = (ROOT / "README.md").read_text()
    for path in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / path).exists(), path
