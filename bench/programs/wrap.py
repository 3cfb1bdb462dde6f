# SPDX-License-Identifier: MIT
"""Text: wrapped, justified, hyphenated, compared line by line."""
import difflib
import textwrap

REPEAT = 7


def run():
    paragraph = " ".join("paragraph of some-what %d long words and shorter ones" % i for i in range(120))
    before = []
    for width in (30, 50, 72, 100) * 5:
        lines = textwrap.wrap(paragraph, width)
        lines = [line.ljust(width).rstrip() for line in lines]
        textwrap.indent(textwrap.dedent("\n".join("    " + line for line in lines)), "> ")
        before.append(lines)
    for first, second in zip(before[:3], before[1:]):
        assert list(difflib.unified_diff(first, second, lineterm=""))
