# SPDX-License-Identifier: MIT
"""Dictionaries: words counted, indexed, grouped, merged."""
from collections import Counter, OrderedDict, defaultdict

REPEAT = 1


def run():
    seed = 7
    words = []
    for i in range(40000):
        seed = seed * 1103515245 + 12345 & 0x7fffffff
        words.append("w%x" % (seed >> 16 & 0xfff))
    for _ in range(4):
        counts = {}
        for word in words:
            counts[word] = counts.get(word, 0) + 1
        index = defaultdict(list)
        for place, word in enumerate(words):
            index[word].append(place)
        pairs = Counter(zip(words, words[1:]))
        followers = {}
        for (first, second), count in pairs.items():
            followers.setdefault(first, {})[second] = count
        ordered = OrderedDict(sorted(counts.items(), key=lambda item: -item[1]))
        merged = {**counts, **{word: len(places) for word, places in index.items()}}
        assert len(ordered) == len(merged) == len(index)
