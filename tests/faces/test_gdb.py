# SPDX-License-Identifier: MIT
"""What GDB alone has: help, settings, completion, MI, convenience functions, inferiors, remote targets."""

import json
import os
import re
import subprocess

import pytest

import debuggers


def test_help(gdb, corpse):
    (everything, _), (top, error), (alias, _) = gdb.lines(["help tm", "help tm top", "help py-tm-top"])
    for verb in ("info", "top", "traceback"):
        assert re.search(r"^tm %s, py-tm-%s -- \S" % (verb, verb), everything, re.MULTILINE), everything
    lines = top.splitlines()
    assert lines[0] == "tm top, py-tm-top"
    assert re.match("[A-Z].*\\.$", lines[1]), top  # a summary
    assert re.search("^Usage: tm top ", top, re.MULTILINE), top
    assert "--by" in top and "Example" in top and error == ""
    assert "SOURCE" not in top  # the debugger has it already
    assert alias == top


def test_completion(gdb, corpse, tmp_path):
    def complete(text):
        output, error = gdb.lines(["complete " + text], core=corpse.core, program=corpse.program)[0]
        assert error == ""
        return output.splitlines()

    assert {"tm info", "tm top", "tm traceback"} <= set(complete("tm ") or complete("tm"))
    assert complete("tm tra") == ["tm traceback"]
    assert "tm top --by" in complete("tm top -") and "tm top --json" in complete("tm top --")
    assert complete("tm top --js") == ["tm top --json"]
    assert complete("tm top 3 --js") == ["tm top 3 --json"]
    assert complete("py-tm-top --js") == ["py-tm-top --json"]
    assert complete("tm top --by fi") == ["tm top --by filename"]
    assert complete("tm top --by=fi") == ["tm top --by=filename"]
    assert "tm traceback leaked" in complete("tm traceback leak")
    (tmp_path / "only").mkdir()
    for name in ("one", "other"):
        (tmp_path / "only" / name).touch()
    both = ["%s/only/%s" % (tmp_path, name) for name in ("one", "other")]
    assert complete("tm dump %s/only/" % tmp_path) == ["tm dump " + path for path in both]
    assert complete("tm diff --json %s/on" % tmp_path) == ["tm diff --json " + path for path in both]
    assert complete("tm export -o %s/only/o" % tmp_path) == ["tm export -o " + path for path in both]
    assert complete("tm export --output=%s/only/on" % tmp_path) == ["tm export --output=" + both[0]]
    assert complete("tm report -o %s/nowhere/" % tmp_path) == []


def test_settings(gdb, corpse):
    def ask(*lines):
        return gdb.lines(lines, core=corpse.core)

    said = ask("show tm limit", "set tm limit 1", "show tm limit", "tm top", "tm top 2", "set tm limit 0", "tm top", "tm top 1")
    assert said[2][0] == "tm limit is 1.\n"
    assert said[3] == said[7] and said[3] != said[4]
    assert said[6][0].startswith(said[4][0].splitlines()[0])

    said = ask("set tm group-by filename", "tm top", "tm top --by filename", "tm top --by lineno", "show tm group-by")
    assert said[0] == ("", "") and said[1] == said[2] and said[1] != said[3]
    assert said[4][0] == "tm group-by is filename.\n"

    said = ask("set tm source-lines off", "tm top", "set tm source-lines on", "tm top")
    assert "bytearray" not in said[1][0] and "bytearray" in said[3][0]

    colour = "python import sys; print(sys.modules['tm_gdb_commands'].Target().colour)"  # what the engine is told
    said = ask(colour, "set tm style on", colour, "set tm style off", colour)
    assert [output for output, _error in said] == ["False\n", "", "True\n", "", "False\n"]

    said = ask("show tm", "set tm", "set tm group-by colour", "set tm nonsense 1", "set tm limit -5", "tm nonsense", "tm top 1")
    assert all("tm %s is " % name in said[0][0] for name in ("limit", "group-by", "source-lines", "style"))
    assert "set tm limit" in said[1][0]
    assert all(output == "" and error and "Python" not in error for output, error in said[2:6]), said
    assert "app.py:4" in said[6][0]


def test_convenience_functions(gdb, corpse):
    said = gdb.lines(
        [
            "print $_tm_size(leaked)",
            "print $_tm_size(leaked + 5)",
            "print $_tm_line(object)",
            'python gdb.execute("set $line = $_tm_line($r12)"); gdb.execute("printf \\"%s\\\\n\\", $line")',
            "print $_tm_size(1)",
            "print $_tm_line(holder)",
            "help function _tm_size",
            "print $_tm_size()",
            "print $_tm_line(1, 2)",
            "print $_tm_size(1.5)",
            'print $_tm_line("text")',
            "print $_tm_local()",
            "print $_tm_local(leaked)",
        ],
        core=corpse.core,
        program=corpse.program,
    )
    assert said[0][0].endswith("= 1000\n") and said[1][0].endswith("= 1000\n")
    assert said[2][0].endswith('app.py:7"\n') and said[3][0].endswith("app.py:4\n")
    for output, error in said[4:6] + said[7:]:
        assert output == "" and error.count("\n") == 1 and "tm: " in error and "Python Exc" not in error and "in Python" not in error
    assert "Usage: $_tm_size (ADDRESS)" in said[6][0]


def test_output_goes_where_gdb_says(gdb, corpse, tmp_path):
    log = tmp_path / "log"
    said = gdb.lines(
        [
            "tm top 2",
            # one line, because the marks between lines would go to the log too
            "python [gdb.execute(line) for line in ('set logging file %s', 'set logging redirect on',"
            " 'set logging enabled on', 'tm top 2', 'set logging enabled off')]" % log,
            "pipe tm top 2 | cat",
            "python print(gdb.execute('tm top 2', to_string=True), end='')",
        ],
        core=corpse.core,
    )
    assert "app.py:4" in said[0][0] and "app.py" not in said[1][0]
    assert log.read_text() == said[2][0] == said[3][0] == said[0][0]


def test_host_that_knows_ascii_only(gdb, corpse):
    """GIVEN LC_ALL=C and names beyond ASCII, THEN they are escaped, not an error."""
    output, error = gdb.raw(["tm top"], core=corpse.core, env=dict(debuggers.environment(), LC_ALL="C"))
    assert "app.py:4" in output and "Error" not in error and "Traceback" not in error


def test_machine_interface(gdb, corpse):
    if "True" not in gdb.lines(["python print(hasattr(gdb, 'MICommand'))"])[0][0]:
        pytest.skip("this GDB has no gdb.MICommand")  # before GDB 13
    said = gdb.lines(
        [
            'interpreter-exec mi "-tm-top 1"',
            'interpreter-exec mi "-tm-traceback leaked"',
            'interpreter-exec mi "-tm-traceback 16"',
            'interpreter-exec mi "-tm-info"',
            'interpreter-exec mi "-tm-top --by traceback --json"',
        ],
        core=corpse.core,
        program=corpse.program,
    )
    assert said[0][0].startswith("^done,top={") and 'size="501000"' in said[0][0] and 'lineno="4"' in said[0][0]
    assert said[1][0].startswith("^done,traceback={") and 'name="Cache.put"' in said[1][0]
    assert said[2][0].startswith('^error,msg="tm: ')
    assert said[3][0].startswith("^done,info=") and said[4][0].startswith("^done,top=")


def test_the_selected_inferior_counts(gdb, corpse, make):
    """GIVEN two cores in one GDB, THEN commands are about the one that is selected."""
    other = make("none")
    said = gdb.lines(
        ["tm top 1", "add-inferior", "inferior 2", "tm top 1", "core-file %s" % other.core, "tm top 1", "inferior 1", "tm top 1"],
        core=corpse.core,
        program=corpse.program,
    )
    assert "app.py:4" in said[0][0]
    assert "neither a process nor a core" in said[3][1]
    assert "tm: " in said[5][1] and "app.py" not in said[5][0]
    assert said[7] == said[0]


def test_beside_libpython(gdb, corpse, tmp_path):
    """GIVEN another script with common names in __main__, as libpython.py has them, THEN neither harms the other."""
    other = tmp_path / "other.py"
    other.write_text("class Target: pass\nclass Verb: pass\ndef evaluate(x): return 'theirs'\nre = None\n")
    said = gdb.lines(
        ["source %s" % other, "tm top 1", "source %s" % gdb.script, "tm top 1", "python print(evaluate(1), re)"],
        core=corpse.core,
    )
    assert "app.py:4" in said[1][0] and said[1] == said[3]
    assert said[4][0] == "theirs None\n"


def test_names_of_python_locals(gdb, corpse, tmp_path):
    """GIVEN libpython.py, WHEN an ADDRESS is no symbol of C but a local of the selected Python frame, THEN that is meant."""
    stand_in = tmp_path / "libpython.py"
    stand_in.write_text(
        """
class Object:
    def as_address(self): return %d
class Code:
    def get_var_by_name(self, name):
        return (Object(), "local") if name in ("reports", "object") else (None, None)
class Frame:
    @classmethod
    def get_selected_python_frame(cls): return cls()
    def get_pyop(self): return Code()
    def is_evalframe(self): return True
"""
        % corpse.facts["leaked"]
    )
    said = gdb.lines(
        ["tm traceback reports", "source %s" % stand_in, "tm traceback reports", "tm traceback other", "tm traceback leaked",
         'tm traceback $_tm_local("reports")', 'tm traceback $_tm_local("other")', "tm traceback object"],
        core=corpse.core,
        program=corpse.program,
    )  # fmt: skip
    assert 'No symbol "reports"' in said[0][1] and 'No symbol "other"' in said[3][1]
    assert said[2] == said[4] == said[5] and "app.py" in said[2][0]
    assert "no Python frame is selected" in said[6][1]
    output, error = said[7]  # C has an object, too, and comes first
    assert output.startswith("%#x " % corpse.facts["object"]) and '$_tm_local("object")' in error


def test_cpythons_own_script(gdb, newest, tmp_path):
    """GIVEN CPython's libpython.py, as it lies beside an interpreter, or where distributions put it, THEN both work, and
    py-up selects whose locals."""
    name = os.path.realpath(newest.executable) + "-gdb.py"
    scripts = [place for place in (name, "/usr/share/gdb/auto-load" + name) if os.path.exists(place)]
    if not scripts:
        pytest.skip("no %s" % name)
    script = scripts[0]
    app = tmp_path / "app.py"
    app.write_text(
        "import time\ndef leak():\n    one = bytearray(10000)\n    print('ready', flush=True)\n    time.sleep(600)\nleak()\n"
    )
    process = subprocess.Popen(
        [str(debuggers.TM), "run", "-n", "5", "--", newest.executable, str(app)],
        env=debuggers.environment(),
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout.readline() == b"ready\n"
        said = gdb.lines(
            ["py-bt", "source %s" % script, "py-bt", "py-up", "tm traceback one", 'tm traceback $_tm_local("one")', "tm top 1"],
            pid=process.pid,
        )
        if 'app.py", line 5, in leak' not in said[2][0]:
            pytest.skip("its py-bt does not work: %r" % (said[2],))
        assert 'app.py", line 3, in leak\n' in said[4][0] and said[4] == said[5], said
        assert "blocks, peak" in said[6][0]
    finally:
        process.kill()
        process.communicate()


def test_errors_end_scripts_and_statuses(gdb, corpse):
    """`gdb -batch` exits with 1 if the last command failed."""
    argv = [gdb.path, "-batch", "-nx", "-c", str(corpse.core), "-x", str(gdb.script), "-ex"]
    run = dict(env=debuggers.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert subprocess.run(argv + ["tm top"], **run).returncode == 0
    assert subprocess.run(argv + ["tm traceback 16"], **run).returncode == 1


def test_json_is_json(gdb, corpse):
    said = gdb.lines(["tm top --json"], core=corpse.core)
    assert json.loads(said[0][0])["stats"][0]["size"] == 501 * 1000


def test_sourced_by_another_script(gdb, corpse, tmp_path):
    """GIVEN a user's own Python that sources the script, THEN it finds its engine nevertheless."""
    users = tmp_path / "gdbinit.py"
    users.write_text("import gdb\ngdb.execute('source %s')\n" % gdb.script)
    _output, error = gdb.raw(["source %s" % users, "tm top 1"], core=corpse.core, load=False)
    assert "app.py:4" in _output and "tm: " not in error
