# SPDX-License-Identifier: MIT
"""One-way dataflow constraints over chains of variables, planned and executed again and again."""

REPEAT = 2


class Variable:
    def __init__(self, value):
        self.value = value
        self.constraints = []
        self.determined = None
        self.strength = 0


class Constraint:
    def __init__(self, strength, *variables):
        self.strength = strength
        self.variables = variables
        self.satisfied = False
        for variable in variables:
            variable.constraints.append(self)

    def output(self):
        return self.variables[-1]

    def inputs(self):
        return self.variables[:-1]

    def known(self, mark):
        return all(v.determined is None or v.determined.satisfied and mark >= v.strength for v in self.inputs())


class Equal(Constraint):
    def execute(self):
        self.output().value = self.variables[0].value


class Scale(Constraint):
    def execute(self):
        source, scale, offset, target = self.variables
        target.value = source.value * scale.value + offset.value


class Planner:
    def __init__(self):
        self.mark = 0

    def add(self, constraint):
        self.mark += 1
        constraint.satisfied = True
        constraint.output().determined = constraint
        constraint.output().strength = self.mark

    def plan(self, source):
        todo = [c for c in source.constraints if source in c.inputs()]
        plan = []
        while todo:
            constraint = todo.pop(0)
            if constraint.satisfied and constraint.known(self.mark):
                plan.append(constraint)
                out = constraint.output()
                todo.extend(c for c in out.constraints if out in c.inputs())
        return plan


def chain(length):
    planner = Planner()
    variables = [Variable(0) for _ in range(length)]
    for left, right in zip(variables, variables[1:]):
        planner.add(Equal(1, left, right))
    for value in range(40):
        variables[0].value = value + 1000
        for constraint in planner.plan(variables[0]):
            constraint.execute()
        assert variables[-1].value == value + 1000


def projection(count):
    planner = Planner()
    scale, offset = Variable(10), Variable(1000)
    pairs = [(Variable(i), Variable(0)) for i in range(count)]
    for source, target in pairs:
        planner.add(Scale(1, source, scale, offset, target))
    for value in range(20):
        scale.value = value
        for constraint in planner.plan(scale):
            constraint.execute()
        assert pairs[-1][1].value == pairs[-1][0].value * value + 1000


def run():
    for _ in range(3):
        chain(600)
        projection(600)
