# SPDX-License-Identifier: MIT
"""At the wrong moment, on the wrong program: one clear sentence, no Python traceback, and the debugger goes on."""

import json
import shutil
import subprocess

import pytest

import debuggers
from debuggers import CommandLine


def one_sentence(said, *words):
    output, error = said
    assert output == "", said
    assert "Traceback (most recent call last)" not in error and "Python Exception" not in error, error
    lines = [line for line in error.splitlines() if "tm: " in line]
    assert len(lines) == 1, error
    for word in words:
        assert word in error, error


def still_there(debugger, **where):
    return debugger.lines(["tm top", "tm traceback 0x1000", "help tm top", "tm top"], **where)


def test_before_anything_is_loaded(debugger):
    said = still_there(debugger)
    one_sentence(said[0], "neither a process nor a core")
    one_sentence(said[1], "neither a process nor a core")
    assert "top" in said[2][0]
    assert said[3] == said[0]


def test_program_that_was_not_started(debugger, corpse):
    one_sentence(still_there(debugger, program=corpse.program)[0], "neither a process nor a core")


def test_process_that_exited(debugger, corpse):
    said = debugger.lines(["run", "tm top", "tm info"], program=corpse.program)  # without arguments it exits with 2
    one_sentence(said[1], "neither a process nor a core")
    one_sentence(said[2], "neither a process nor a core")


def test_process_that_was_killed_under_the_debugger(debugger, process):
    said = debugger.lines(["tm top 1", "kill", "tm top 1"], pid=process.process.pid)
    assert "app.py:4" in said[0][0]
    one_sentence(said[2], "neither a process nor a core")


def test_program_that_is_started_again(debugger, corpse, tmp_path):
    """GIVEN a program that runs, dies, runs anew and is killed, THEN each answer is about the process of that moment."""
    start = "run %s" if debugger in debuggers.GDBS else "process launch -- %s"
    start %= "%s %s abort" % (corpse.program.with_name("app.py"), tmp_path / "facts")
    lines = [start, "tm top 1 --json", "tm traceback leaked", start, "tm top 1 --json", "tm traceback leaked", "kill", "tm top 1"]
    said = debugger.lines(lines, program=corpse.program)
    first, second = (json.loads(said[at][0]) for at in (1, 4))
    assert first["source"] != second["source"] and first["stats"] == second["stats"]
    assert "Cache.put" in said[2][0] and "Cache.put" in said[5][0]
    one_sentence(said[7], "neither a process nor a core")


def test_program_without_tm(debugger, make):
    corpse = make("none")
    said = still_there(debugger, core=corpse.core, program=corpse.program)
    one_sentence(said[0])
    status, output, error = CommandLine().ask([["top"]], core=corpse.core)[0]
    assert (status, output) == (2, "")
    assert said[0][1].replace("error: ", "") == error


def test_core_that_lacks_part_of_the_table(debugger, make):
    """GIVEN a core with holes, where GDB reads zeros and LLDB None without an error, THEN the answer says that it is less
    than the truth, or there is none; the same everywhere."""
    corpse = make("filtered")
    commands = [["top"], ["top", "--json"], ["traceback", hex(corpse.facts["leaked"])], ["info"]]
    expected = CommandLine().ask(commands, core=corpse.core)
    assert 3 in [status for status, _output, _error in expected]
    answers = debugger.ask(commands, core=corpse.core)
    for (status, output, error), (said_status, said_output, said_error) in zip(expected, answers):
        assert (output, error) == (said_output, said_error)
        assert (status == 2) == (said_status == 2)


def test_core_that_is_gone_after_loading(debugger, make):
    """GIVEN a core whose file is removed while the debugger has it open, THEN an answer or a sentence."""
    corpse = make("abort")
    remove = {"gdb": "shell rm %s", "lldb": "platform shell rm %s"}["gdb" if debugger in debuggers.GDBS else "lldb"]
    said = debugger.lines(["tm top 1", remove % corpse.core, "tm top 1"], core=corpse.core)
    assert "app.py:4" in said[0][0]
    assert "app.py:4" in said[2][0] or "tm: " in said[2][1]
    assert "Traceback" not in said[2][1]


# ---- the engine ------------------------------------------------------------------------------------------------------


def load_alone(debugger):
    output, error = debugger.raw(["help data" if debugger in debuggers.GDBS else "help version"])
    lines = [line for line in (output + error).splitlines() if line.startswith("tm: ")]
    assert "Traceback" not in output + error
    assert len(lines) == 1, output + error
    return lines[0]


def test_quiet_on_load(debugger):
    output, error = debugger.raw([])
    assert "tm: " not in output + error and "Traceback" not in output + error
    assert error == ""


def test_one_folder_copied_elsewhere(debugger, corpse, installed):
    said = installed(debugger).lines(["tm top 1"], core=corpse.core)
    assert "app.py:4" in said[0][0]


def test_below_a_prefix(debugger, corpse, tmp_path):
    """As `make install` lays it out, moved."""
    prefix = tmp_path / "moved"
    scripts = prefix / "share/tm" / debugger.script.parent.name
    scripts.mkdir(parents=True)
    (prefix / "lib").mkdir()
    for script in debugger.script.parent.glob("*.py"):
        shutil.copy(script, scripts)
    shutil.copy(debuggers.ROOT / "reader/tm_engine.py", prefix / "share/tm")
    shutil.copy(debuggers.ENGINE, prefix / "lib")
    moved = type(debugger)(debugger.path, scripts / debugger.script.name)
    assert "app.py:4" in moved.lines(["tm top 1"], core=corpse.core)[0][0]


def test_engine_is_missing(debugger, installed):
    copied = installed(debugger)
    (copied.script.parent / "libtm.so").unlink()
    assert "libtm.so" in load_alone(copied)


def test_engine_is_broken(debugger, installed):
    copied = installed(debugger)
    (copied.script.parent / "libtm.so").write_bytes(b"no library")
    assert "cannot be loaded" in load_alone(copied)


def test_engine_is_something_else(debugger, installed):
    copied = installed(debugger)
    engine = copied.script.parent / "libtm.so"
    subprocess.run(["cc", "-shared", "-o", str(engine), "-x", "c", "/dev/null"], check=True)
    assert "cannot be loaded" in load_alone(copied)


@pytest.mark.parametrize("table", ["[]", '[{"new": 1}]', "not JSON"])
def test_engine_is_of_another_version(debugger, installed, table):
    copied = installed(debugger)
    engine = copied.script.parent / "libtm.so"
    code = 'const char *tm_version(void) { return "99.1"; } const char *tm_commands(void) { return %s; }' % json.dumps(table)
    code += " int tm_command(void) { return 2; } int tm_complete(void) { return 0; }"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(engine), "-x", "c", "-"], input=code.encode(), check=True)
    assert "99.1" in load_alone(copied)


def test_shared_module_is_missing(debugger, installed):
    copied = installed(debugger)
    (copied.script.parent / "tm_engine.py").unlink()
    assert "tm_engine.py" in load_alone(copied)


def test_loaded_twice(debugger, corpse):
    again = "source %s" if debugger in debuggers.GDBS else "command script import %s"
    said = debugger.lines([again % debugger.script, "tm top 1", "py-tm-top 1"], core=corpse.core)
    assert said[0] == ("", "")
    assert "app.py:4" in said[1][0] and said[1] == said[2]
