# SPDX-License-Identifier: MIT
"""How oracle_target.py writes itself down.  What this file allocates is not compared: it runs after the snapshot."""
import json
import os
import sys

import tm


def frames(traceback):
    """Most recent first, as the readers print it."""
    return [[frame.filename, frame.lineno] for frame in reversed(traceback)]


def before(everything):
    """What can be written down before the snapshot."""
    objects = []
    for name, thing in everything.named():
        traceback = tm.get_object_traceback(thing)
        objects.append(
            {"name": name, "address": id(thing), "traceback": None if traceback is None else frames(traceback)}
        )
    # Whatever json needs is there before the snapshot, so that as little as possible differs between it and the corpse.
    json.dumps({"warm": [1.5, "up", None]})
    return {
        "pid": os.getpid(),
        "version": "%d.%d.%d" % sys.version_info[:3],
        "limit": tm.get_traceback_limit(),
        "objects": objects,
    }


def write(report, path):
    snapshot = report.pop("snapshot")
    report["traced"] = tm.get_traced_memory()
    report["statistics"] = {
        key: [[statistic.size, statistic.count, frames(statistic.traceback)] for statistic in snapshot.statistics(key)]
        for key in ("lineno", "filename", "traceback")
    }
    with open(path + ".part", "w") as file:
        json.dump(report, file)
    os.rename(path + ".part", path)
