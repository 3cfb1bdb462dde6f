# SPDX-License-Identifier: MIT
"""On a terminal: pager, colours, Tab, Ctrl-C."""

import time

import debuggers
from terminal import Terminal

PROMPT = r"\(gdb\) $"


def terminal(face, corpse, **env):
    environment = dict(debuggers.environment(), TERM="xterm", **env)
    if face in debuggers.GDBS:
        argv = [face.path, "-q", "-nx", "-x", str(face.script), str(corpse.program), str(corpse.core)]
    else:
        argv = [face.path, "--no-lldbinit", str(corpse.program), "-c", str(corpse.core)]
        argv += ["-o", "command script import " + str(face.script), "-o", "script print('rea' + 'dy')"]
    started = Terminal(argv, env=environment, rows=12)
    started.until(PROMPT if face in debuggers.GDBS else r"\bready\b")
    return started


def test_colours_on_a_terminal_only(debugger, corpse):
    with terminal(debugger, corpse) as session:
        session.type("tm top 1\n")
        assert "\x1b[" in session.until(r"app\.py:4.*").split("tm top 1", 1)[1]
    with terminal(debugger, corpse, NO_COLOR="1") as session:
        session.type("tm top 1\n")
        line = session.until(r"app\.py[^\n]*\n")
        assert "\x1b[" not in [line for line in line.splitlines() if "app.py:4" in line][0]


def test_style_of_gdb_rules(gdb, corpse):
    with terminal(gdb, corpse) as session:
        session.type("set style enabled off\n")
        session.until(PROMPT)
        session.type("tm top 1\n")
        line = [line for line in session.until(PROMPT).splitlines() if "app.py:4" in line][0]
        assert "\x1b[" not in line.replace("\x1b[?2004l", "").replace("\r", "")


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
