# SPDX-License-Identifier: MIT
"""Answers do not show up in the next snapshot."""
import gc
import os
import tracemalloc as stock

import tm

tm.start(5)


class Thing:
    pass


keep = [Thing() for _ in range(1000)]


def ask():
    """Everything, each answer kept alive."""
    snapshot = tm.take_snapshot()
    older = snapshot.filter_traces([tm.Filter(True, "*"), tm.DomainFilter(True, 0)])
    answers = [snapshot, older]
    for key in ("lineno", "filename", "traceback"):
        answers += [snapshot.statistics(key), snapshot.compare_to(older, key)]
    answers += [snapshot.traces[0], snapshot.traces._traces[1:], snapshot.traces._traces == older.traces._traces]
    answers.append(tm.get_object_traceback(keep[0]))
    answers.append(answers[-1].format())
    snapshot.dump("snapshot")
    answers.append(tm.Snapshot.load("snapshot"))
    answers.append(answers[-1].statistics("traceback"))
    return answers


ask()
gc.collect()
gc.disable()
before = tm.get_traced_memory()[0]
answers = ask()
after = tm.get_traced_memory()[0]
# What is left: the list of answers itself, and what Python code outside tm keeps for calling it.
assert len(answers) > 10 and after - before < 2500, (before, after)

# Nobody is traced less afterwards: the pause has ended, also after an error.
for wrong in (lambda: answers[0].statistics("nonsense"), lambda: answers[0].filter_traces(7)):
    try:
        wrong()
    except (ValueError, TypeError):
        pass
thing = Thing()
assert tm.get_object_traceback(thing) is not None
assert not stock.is_tracing()
os.remove("snapshot")
