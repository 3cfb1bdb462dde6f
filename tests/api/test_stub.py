# SPDX-License-Identifier: MIT
"""The type stub says what is there."""
import ast
import inspect
import os

import tm


def stub():
    with open(os.path.join(os.path.dirname(tm.__file__), "__init__.pyi")) as file:
        return ast.parse(file.read())


def is_property(node):
    return any(getattr(decorator, "id", "") == "property" for decorator in node.decorator_list)


def check(owner, node, where):
    there = inspect.getattr_static(owner, node.name, None) or getattr(owner, node.name, None)
    assert there is not None, where
    if is_property(node):
        assert not callable(there), where
        return
    function = getattr(owner, node.name)
    if node.name.startswith("__") or not inspect.isfunction(function):
        return
    real = [name for name in inspect.signature(function).parameters]
    stubbed = [argument.arg for argument in node.args.args]
    assert real == stubbed, (where, real, stubbed)


def test_stub():
    """GIVEN the stub / WHEN it is compared with the module / THEN every name, parameter and docstring is there"""
    names = set()
    for node in stub().body:
        if isinstance(node, ast.FunctionDef):
            check(tm, node, node.name)
            names.add(node.name)
            assert getattr(tm, node.name).__doc__, node.name
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    check(getattr(tm, node.name), inner, "%s.%s" % (node.name, inner.name))
    assert names == set(tm.__all__)
    assert os.path.exists(os.path.join(os.path.dirname(tm.__file__), "py.typed"))
