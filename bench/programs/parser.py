# SPDX-License-Identifier: MIT
"""A recursive-descent parser of arithmetic, and a visitor that evaluates its tree."""
import re

REPEAT = 16

TOKEN = re.compile(r"\s*(?:(\d+)|(.))")


class Node:
    def __init__(self, kind, *children):
        self.kind = kind
        self.children = children


class Parser:
    def __init__(self, text):
        self.tokens = [(number and int(number), sign) for number, sign in TOKEN.findall(text)]
        self.at = 0

    def peek(self):
        return self.tokens[self.at][1] if self.at < len(self.tokens) else ""

    def expression(self):
        left = self.term()
        while self.peek() and self.peek() in "+-":
            sign = self.peek()
            self.at += 1
            left = Node(sign, left, self.term())
        return left

    def term(self):
        left = self.factor()
        while self.peek() and self.peek() in "*%":
            sign = self.peek()
            self.at += 1
            left = Node(sign, left, self.factor())
        return left

    def factor(self):
        number, sign = self.tokens[self.at]
        self.at += 1
        if sign == "(":
            inner = self.expression()
            self.at += 1
            return inner
        if sign == "-":
            return Node("negative", self.factor())
        return Node("number", number)


class Evaluator:
    def visit(self, node):
        return getattr(self, "visit_" + NAMES.get(node.kind, node.kind))(node)

    def visit_number(self, node):
        return node.children[0]

    def visit_negative(self, node):
        return -self.visit(node.children[0])

    def visit_add(self, node):
        return self.visit(node.children[0]) + self.visit(node.children[1])

    def visit_subtract(self, node):
        return self.visit(node.children[0]) - self.visit(node.children[1])

    def visit_multiply(self, node):
        return self.visit(node.children[0]) * self.visit(node.children[1]) % 1000003

    def visit_modulo(self, node):
        return self.visit(node.children[0]) % (self.visit(node.children[1]) or 1)


NAMES = {"+": "add", "-": "subtract", "*": "multiply", "%": "modulo"}


def text_of(depth, seed):
    if not depth:
        return str(seed % 997 + 1)
    return "(%s %s %s)" % (text_of(depth - 1, seed * 7 + 1), "+-*%"[seed % 4], text_of(depth - 1, seed * 5 + 3))


def run():
    for seed in range(7):
        text = text_of(9, seed)
        tree = Parser(text).expression()
        for _ in range(5):
            Evaluator().visit(tree)
