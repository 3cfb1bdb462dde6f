# SPDX-License-Identifier: MIT
"""Strings: joined, split, formatted, translated, encoded."""

REPEAT = 1


def run():
    table = str.maketrans("abc", "xyz")
    for i in range(30):
        words = []
        for j in range(3000):
            words.append("word%d-%s" % (j, "ä€" if j % 5 == 0 else "plain"))
        text = " ".join(words)
        assert len(text.split()) == 3000
        text = text.upper().lower().replace("plain", "simple").translate(table)
        assert len(text.encode("utf-8").decode("utf-8")) == len(text)
        out = ""
        for word in text.split(" "):
            head, _, tail = word.partition("-")
            out += "{:>10}|{!r:<8}|{:.3f}".format(head, tail, len(word) / 3)
        assert len([line.strip() for line in out.split("|")]) > 6000
