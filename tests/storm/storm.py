# SPDX-License-Identifier: MIT
"""What the storms share: how many tries, and one try."""
import os
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "evidence"), str(TESTS / "e2e")]

import corpses  # noqa: E402

# `make storm` says 1000.  Whoever only runs the tests gets a twentieth.
N = int(os.environ.get("STORM_N") or 50)
LONG = bool(os.environ.get("TM_LONG"))
SEED = int(os.environ.get("STORM_SEED") or 0)
SANITIZED = corpses.ROOT / "build" / "sanitize" / "bin" / "tm"
EVIDENCE = ["kernel", "gcore", "file", "zstd"]
SECONDS = 2  # of processor time, with sanitizers: none may take longer


class Try:
    """One answer of the command line: the sanitized one, if no other is named."""

    def __init__(self, path, *words, tm=SANITIZED):
        verb, *rest = words
        self.what = (str(path), *words)
        env = corpses.clean_environment(
            ASAN_OPTIONS="detect_leaks=0:abort_on_error=0:exitcode=99:allocator_may_return_null=1", UBSAN_OPTIONS="exitcode=98"
        )
        process = subprocess.Popen(
            [str(tm), verb, str(path), *rest, *(["--json"] if verb != "export" else [])],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started = time.monotonic()
        out, err = process.communicate(timeout=120)
        self.wall = time.monotonic() - started
        self.answer = corpses.Answer(process.returncode, out.decode(), err.decode())
        self.status = process.returncode
        assert self.status in (0, 2, 3), (self.what, self.answer)
        assert self.status != 2 or self.answer.err.startswith("tm: "), (self.what, self.answer)
        self.said = self.answer.json() if self.status != 2 else None

    def total(self):
        return {key: self.said["total"][key] for key in ("size", "count")}


class Watch:
    """Processor time of each try."""

    def __init__(self):
        self.seconds = []

    def ask(self, *words, **how):
        before = corpses.processor_seconds()
        answer = Try(*words, **how)
        self.seconds.append(corpses.processor_seconds() - before)
        assert self.seconds[-1] <= SECONDS, (words, self.seconds[-1])
        return answer


def slowest(seconds):
    """The machine may be busy: what counts is that most are quick, and none hangs."""
    seconds = sorted(seconds)
    return "median %.2f s, slowest %.2f s" % (seconds[len(seconds) // 2], seconds[-1])
