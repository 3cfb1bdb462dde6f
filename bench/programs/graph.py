# SPDX-License-Identifier: MIT
"""Shortest ways through a grid: Dijkstra, breadth first, tuples in heaps and sets."""
import heapq
from collections import deque

REPEAT = 4

SIZE = 70


def neighbours(place):
    x, y = place
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        if 0 <= x + dx < SIZE and 0 <= y + dy < SIZE:
            yield x + dx, y + dy


def cost(place):
    return 1 + (place[0] * 7919 + place[1] * 104729) % 9 * 1.5


def shortest(start, goal):
    best = {start: 0.0}
    came = {}
    queue = [(0.0, start)]
    while queue:
        distance, place = heapq.heappop(queue)
        if place == goal:
            break
        for other in neighbours(place):
            longer = distance + cost(other)
            if longer < best.get(other, 1e9):
                best[other] = longer
                came[other] = place
                heapq.heappush(queue, (longer, other))
    path = [goal]
    while path[-1] != start:
        path.append(came[path[-1]])
    return path[::-1]


def reachable(start):
    seen = {start}
    queue = deque([start])
    while queue:
        for other in neighbours(queue.popleft()):
            if other not in seen and cost(other) < 13:
                seen.add(other)
                queue.append(other)
    return seen


def run():
    for i in range(5):
        assert len(shortest((0, i), (SIZE - 1, SIZE - 1 - i))) > SIZE
        assert len(reachable((i, 0))) > 100
