# SPDX-License-Identifier: MIT
"""Code that is made at run time: exec, named tuples, data classes, closures; modules parsed and compiled."""
import ast
import collections
import dataclasses

REPEAT = 5


def run():
    for i in range(60):
        Point = collections.namedtuple("Point%d" % i, "x y z")
        assert Point(1, 2, 3)._replace(x=5).x == 5
        Made = dataclasses.make_dataclass("Made%d" % i, [("a", int), ("b", str)], order=True)
        assert Made(1, "b") < Made(2, "a")
    source = "def function(a, b=2):\n    return [x * a for x in range(b) if x]\nresult = function(%d, 5)\n"
    for i in range(500):
        namespace = {}
        exec(source % i, namespace)
        assert len(namespace["result"]) == 4
        eval("a + b * %d" % i, {"a": i, "b": 1})
    for i in range(40):
        tree = ast.parse(source % i * 5)
        assert sum(1 for _ in ast.walk(tree)) > 100
