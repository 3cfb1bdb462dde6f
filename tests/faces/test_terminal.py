# SPDX-License-Identifier: MIT
"""On a terminal: pager, colours, Tab, Ctrl-C."""

import re
import time

import debuggers
from terminal import Terminal

PROMPT = r"\(gdb\) $"


def terminal(face, corpse, **env):
    environment = dict(debuggers.environment(), TERM="xterm", **env)
    if face in debuggers.GDBS:
        argv = [face.path, "-q", "-nx", "-x", str(face.script), "-ex", "python import sys"]
        # newer versions have more to say of a core than this screen has lines
        argv += ["-iex", "set pagination off", "-ex", "set pagination on", str(corpse.program), str(corpse.core)]
    else:
        argv = [face.path, "--no-lldbinit", str(corpse.program), "-c", str(corpse.core)]
        argv += ["-o", "command script import " + str(face.script), "-o", "script import sys; print('rea' + 'dy')"]
    started = Terminal(argv, env=environment, rows=12)
    started.until(PROMPT if face in debuggers.GDBS else r"\bready\b")
    return started


def told_the_engine(session, face):
    """The colour and the width that the face asks the engine for."""
    if face in debuggers.GDBS:
        session.type("python t = sys.modules['tm_gdb_commands'].Target(); print(('colour', t.colour, t.width))\n")
    else:
        session.type(
            "script c = lldb.SBExecutionContext(lldb.target); r = lldb.SBCommandReturnObject();"
            " t = sys.modules['tm_lldb'].Target(lldb.debugger, c, r); print(('colour', t.colour, t.width))\n"
        )
    said = session.until(r"\('colour', \w+, \d+\)")
    return re.search(r"\('colour', (\w+), (\d+)\)", said).groups()


def test_colours_on_a_terminal_unless_unwanted(debugger, corpse):
    with terminal(debugger, corpse) as session:
        assert told_the_engine(session, debugger) == ("True", "80")
    with terminal(debugger, corpse, NO_COLOR="1") as session:
        assert told_the_engine(session, debugger) == ("False", "80")


def test_style_of_gdb_rules(gdb, corpse):
    with terminal(gdb, corpse) as session:
        session.type("set style enabled off\n")
        session.until(PROMPT)
        session.type("set width 70\n")
        session.until(PROMPT)
        assert told_the_engine(session, gdb) == ("False", "70")


def test_q_at_the_pager_is_a_quiet_stop(gdb, corpse):
    with terminal(gdb, corpse) as session:
        session.type("tm top --by traceback\n")
        session.until("q to quit")
        session.type("q\n")
        said = session.until(PROMPT)
        assert "Traceback" not in said and "rror" not in said
        session.type("tm info\n")
        assert "rror" not in session.until("(?s)info.*" + PROMPT + "|q to quit")


def test_enter_does_not_repeat(gdb, corpse):
    with terminal(gdb, corpse) as session:
        session.type("tm top 1\n")
        session.until(PROMPT)
        session.type("\n")
        time.sleep(0.3)
        assert "app.py" not in session.until(PROMPT)


def test_tab(gdb, corpse):
    with terminal(gdb, corpse) as session:
        session.type("tm top --by fi\t\n")
        said = session.until(PROMPT)
        assert "--by filename" in said and "rror" not in said


def test_file_names_on_tab(gdb, corpse):
    with terminal(gdb, corpse) as session:
        session.type("tm diff %s\t" % (corpse.facts["before"][:-3]))
        session.until(r"before\.tm")


def test_progress(debugger, corpse):
    """GIVEN work that takes long (here: any), THEN the terminal shows how far it is, and nothing of it stays."""
    with terminal(debugger, corpse) as session:
        python = "python" if debugger in debuggers.GDBS else "script"
        session.type("%s sys.modules['tm_engine'].PROGRESS_AFTER = 0\n" % python)
        session.type("tm check\n")
        said = session.until("all is well|q to quit")
        assert re.search(r"\r\x1b\[Ktm: \d+ blocks, \d+%.*\r\x1b\[K", said, re.DOTALL), said


def test_ctrl_c(debugger, corpse):
    """GIVEN long work, WHEN Ctrl-C is typed, THEN it ends without words of Python's, and all goes on."""
    with terminal(debugger, corpse) as session:
        python = "python" if debugger in debuggers.GDBS else "script"
        slow = "before = sys.modules['tm_engine']._Call.progress; import time;"
        slow += " sys.modules['tm_engine']._Call.progress = lambda *_: (print('wor' + 'king'), time.sleep(3))"
        session.type("%s %s\n" % (python, slow))
        session.type("tm check\n")
        session.until("working")
        session.type("\x03")
        # older LLDBs say it themselves, and then nothing else
        said = session.until(PROMPT if debugger in debuggers.GDBS else r"tm: interrupted|Interrupted\.\s+\(lldb\)")
        assert "Traceback" not in said and "Exception" not in said, said
        session.type("%s sys.modules['tm_engine']._Call.progress = before\n" % python)
        session.type("tm check\n")
        session.until("all is well|q to quit")
