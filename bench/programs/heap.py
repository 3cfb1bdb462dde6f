# SPDX-License-Identifier: MIT
"""Heaps, sorting with keys, bisection, linked nodes."""
import bisect
import heapq

REPEAT = 5


class Event:
    __slots__ = ("time", "name")

    def __init__(self, time, name):
        self.time, self.name = time, name

    def __lt__(self, other):
        return self.time < other.time


def run():
    seed = 42
    queue = []
    for i in range(12000):
        seed = seed * 1103515245 + 12345 & 0x7fffffff
        heapq.heappush(queue, Event(seed / 1000, "event %d" % i))
        if i % 3 == 2:
            heapq.heappop(queue)
    events = [heapq.heappop(queue) for _ in range(len(queue))]
    for _ in range(6):
        by_name = sorted(events, key=lambda event: (event.name[-2:], -event.time))
        times = [event.time for event in by_name]
        times.sort()
    found = []
    for event in events:
        bisect.insort(found, event.time % 1000)
    tuples = [(event.time, i) for i, event in enumerate(by_name)]
    heapq.heapify(tuples)
    assert len(heapq.nsmallest(500, tuples)) == 500
