# SPDX-License-Identifier: MIT
"""Symbols and debug information against what was found without them: `tm info` and `tm check` say whether they agree."""
import shutil
import subprocess

import pytest

from e2e import corpses
from stdlib_cases import INTERPRETERS, copied, kernel_case

pytestmark = pytest.mark.skipif(
    corpses.kernel_writes_cores() is not None, reason="the kernel writes cores elsewhere"
)


def run(*words):
    return subprocess.check_output([str(word) for word in words], text=True)


def has_dwarf(file):
    return " .debug_info " in run("readelf", "-SW", file)


def split(library, folder):
    """What distributions do: the debug information goes into a file of its own, whose name stays behind."""
    debug = folder / (library.name + ".debug")
    run("objcopy", "--only-keep-debug", library, debug)
    run("objcopy", "--strip-all", "--add-gnu-debuglink=%s" % debug, library)
    return debug


def symbols(core):
    return corpses.cli(core, "info", "--json").json()["symbols"]


def split_case(interpreter, folder):
    """(core, its library, the debug file); skipped where there is nothing to split."""
    copy, library, options = copied(interpreter, folder / "split")
    if not has_dwarf(library):
        pytest.skip("it was built without debug information, or stripped")
    debug = split(library, folder / "split")
    return kernel_case(copy, 2, 2_000, folder, **options).source, library, debug


def test_of_the_file_itself(cases, interpreter):
    """Every interpreter here agrees, or has nothing to say."""
    said = symbols(cases["kernel"].source)
    assert said["agree"] in (True, None), said
    if said["agree"] is None:
        assert said["text"].startswith("none: ")
        assert interpreter == "/usr/bin/python3" or not has_dwarf(interpreter)
    elif "no DWARF" not in said["text"]:
        assert said["text"].startswith("DWARF confirms ")
        assert int(said["text"].split()[2]) >= 24
    live = corpses.cli(cases["live"].source, "info", "--json").json()["symbols"]
    assert live == said


def test_of_a_separate_file(interpreter, tmp_path):
    """GIVEN a stripped interpreter THEN the debug file beside it is used; without it, the little that is left."""
    core, library, debug = split_case(interpreter, tmp_path)
    assert not has_dwarf(library)
    said = symbols(core)
    assert said["agree"] and said["text"].startswith("DWARF confirms "), said
    assert corpses.cli(core, "check").status == 0
    assert corpses.gdb(core, "info", "--json").json()["symbols"] == said

    (debug.parent / ".debug").mkdir()
    debug.rename(debug.parent / ".debug" / debug.name)
    assert symbols(core) == said

    shutil.rmtree(debug.parent / ".debug")
    said = symbols(core)
    if said["agree"]:
        assert said["text"] == "no DWARF; .dynsym confirms that the tables were found in _PyRuntime"
    else:
        assert said["text"] == "none: %s has none of tracemalloc, and there is no debug file of it" % library

    library.unlink()
    assert symbols(core) == {"agree": None, "text": "none: %s is not there, or is another file now" % library}


def test_of_the_debugger_alone(interpreter, tmp_path):
    """GIVEN a program that only the debugger has THEN its symbols are what there is."""
    copy, library, options = copied(interpreter, tmp_path / "away")
    if not has_dwarf(library):
        pytest.skip("it was built without debug information, or stripped")
    core = kernel_case(copy, 2, 2_000, tmp_path, **options).source
    shutil.move(str(tmp_path / "away"), str(tmp_path / "elsewhere"))
    assert symbols(core)["agree"] is None
    argv = ["gdb", "-batch", "-nx", "-ex", "set debuginfod enabled off", "-ex", "set solib-search-path elsewhere"]
    argv += ["-x", corpses.GDB_SCRIPT, "elsewhere/" + copy.name, "-c", core, "-ex", "tm info"]
    done = subprocess.run(
        list(map(str, argv)), cwd=str(tmp_path), env=corpses.clean_environment(), capture_output=True, text=True
    )
    assert "symbols:  no DWARF; the debugger confirms that the tables were found through " in done.stdout, done


def test_a_contradiction(tmp_path):
    """GIVEN debug information of another version that claims to belong to it THEN that is said, and nothing else changes."""
    both = [name for name in INTERPRETERS if has_dwarf(copied(name, tmp_path / name.replace("/", "_"))[1])]
    if len(both) < 2:
        pytest.skip("it takes two interpreters with debug information")
    core, library, debug = split_case(both[0], tmp_path)
    assert symbols(core)["agree"] is True
    _copy, other, _options = copied(both[-1], tmp_path / "other")
    note = tmp_path / "build-id"
    run("objcopy", "--dump-section", ".note.gnu.build-id=%s" % note, debug, tmp_path / "copy")
    run("objcopy", "--only-keep-debug", other, debug)
    if subprocess.call(["objcopy", "--update-section", ".note.gnu.build-id=%s" % note, str(debug)]):
        pytest.fail("objcopy cannot give it another build-id")
    said = symbols(core)
    assert said["agree"] is False and "contradicts: " in said["text"], said
    answer = corpses.cli(core, "check")
    assert answer.status == 3 and said["text"] in answer.out, answer
    assert "incomplete" not in corpses.cli(core, "top", "--json").json()
