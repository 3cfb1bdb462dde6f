# SPDX-License-Identifier: MIT
"""Evidence cut at any byte: no crash, no hang, no wrong total without a label."""
import os
import random

import pytest

import storm
from corefile import table_in

CUTS = max(10, storm.N // 2)


@pytest.mark.parametrize("kind", storm.EVIDENCE)
def test_cut_anywhere(body, kind):
    path = body(kind)
    watch = storm.Watch()
    whole = watch.ask(path, "check")
    assert whole.status == 0
    size = os.path.getsize(path)
    numbers = random.Random(kind)
    cuts = {1, 63, 64, 4095, 4096, size - 1}
    # Half of them where the table lies, which is most often the end.
    first = min(at for at, _, _ in table_in(path)) if kind != "zstd" else size // 2
    cuts |= {numbers.randrange(1, size) for _ in range(CUTS // 2)}
    cuts |= {numbers.randrange(first, size) for _ in range(CUTS // 2)}
    seen = {0: 0, 2: 0, 3: 0}
    for cut in sorted(cuts, reverse=True):  # so that one copy serves all
        os.truncate(path, cut)
        for verb in ("top", "check"):
            answer = watch.ask(path, verb)
            seen[answer.status] += 1
            if answer.status == 0:
                assert answer.total() == whole.total(), (cut, answer.answer)
            elif answer.status == 3:
                assert answer.said.get("incomplete") or answer.said.get("findings"), (cut, answer.answer)
                assert answer.said["total"]["size"] <= whole.said["total"]["size"], (cut, answer.answer)
    print("%s: %d cuts, whole %d, lower bound %d, refused %d; %s" % (
        kind, len(cuts), seen[0], seen[3], seen[2], storm.slowest(watch.seconds)))  # fmt: skip
