# SPDX-License-Identifier: MIT
"""Complex numbers, one object per operation."""

REPEAT = 10


def run():
    inside = 0
    for y in range(-60, 60):
        for x in range(-100, 50):
            c = complex(x / 50, y / 50)
            z = 0j
            for _ in range(40):
                z = z * z + c
                if abs(z) > 2:
                    break
            else:
                inside += 1
    assert inside > 1000
