# SPDX-License-Identifier: MIT
"""A program that dies while it clears its table: what was true before, or a label; never the sum of what is left."""
import corpses
import evidence

PROGRAM = """\
import ctypes, os
import tm
malloc = ctypes.PyDLL(None).PyMem_RawMalloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
keep = [[bytes(500 + i), malloc(100 + i)] for i in range(300)]
tm.clear_traces()
os._exit(0)
"""

# Copies the file whenever a part of the totals is about to go, and when it has gone.
STOPS = """\
python
import shutil
for command in ("pagination off", "confirm off", "breakpoint pending on", "debuginfod enabled off"):
    gdb.execute("set " + command)
gdb.execute("break tm_table_wipe")
gdb.execute("run")
copies = 0
while gdb.selected_inferior().pid:
    for go_on in ("finish", "continue"):
        shutil.copy("a.tm", "%03d.copy" % copies)
        copies += 1
        gdb.execute(go_on)
end
"""


def test_dies_while_it_clears(newest, tmp_path):
    program = evidence.write_program(tmp_path, PROGRAM)
    (tmp_path / "stops").write_text(STOPS)
    traced = [corpses.TM, "run", "--file", "a.tm", "--", newest.executable, program]
    done = corpses.run(["gdb", "-batch", "-nx", "-x", "stops", "--args", *traced], tmp_path)
    copies = sorted(tmp_path.glob("*.copy"))
    assert len(copies) >= 4, done
    answers = [evidence.ask(copy, "top", "--json") for copy in copies]
    totals = [(total["size"], total["count"]) for total in (answer.json()["total"] for answer in answers)]
    assert answers[0].status == 0 and totals[0][1] > 600, answers[0]
    for answer, total in zip(answers, totals):
        assert answer.status == 3 or total == totals[0], answer
    assert answers[-1].status == 3, answers[-1]
