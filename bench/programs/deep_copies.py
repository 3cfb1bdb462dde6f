# SPDX-License-Identifier: MIT
"""copy.deepcopy and recursive walks over nested containers."""
import copy

REPEAT = 12


def flatten(value):
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in flatten(item)]
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in flatten(item)]
    return [value]


def nest(depth):
    if not depth:
        return [1000, "leaf", (2.5, None)]
    return {"left": nest(depth - 1), "right": [nest(depth - 1)], "depth": depth}


def run():
    data = nest(8)
    for _ in range(8):
        data = copy.deepcopy(data)
    for _ in range(25):
        assert len(flatten(data)) == 1279
