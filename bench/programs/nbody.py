# SPDX-License-Identifier: MIT
"""Planets: floats in lists."""

REPEAT = 4
BODIES = [
    ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 39.47),
    ([4.84, -1.16, -0.10], [0.606, 2.81, -0.02], 0.037),
    ([8.34, 4.12, -0.4], [-1.01, 1.82, 0.008], 0.011),
    ([12.89, -15.11, -0.22], [1.08, 0.868, -0.01], 0.0017),
    ([15.37, -25.9, 0.179], [0.979, 0.594, -0.034], 0.002),
]
PAIRS = [(BODIES[i], BODIES[j]) for i in range(5) for j in range(i)]


def advance(dt, steps):
    for _ in range(steps):
        for (place1, speed1, mass1), (place2, speed2, mass2) in PAIRS:
            dx = place1[0] - place2[0]
            dy = place1[1] - place2[1]
            dz = place1[2] - place2[2]
            force = dt * ((dx * dx + dy * dy + dz * dz) ** -1.5)
            for axis, d in enumerate((dx, dy, dz)):
                speed1[axis] -= d * mass2 * force
                speed2[axis] += d * mass1 * force
        for place, speed, _ in BODIES:
            place[0] += dt * speed[0]
            place[1] += dt * speed[1]
            place[2] += dt * speed[2]


def run():
    advance(0.001, 12000)
