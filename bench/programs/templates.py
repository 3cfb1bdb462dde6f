# SPDX-License-Identifier: MIT
"""A small template language: compiled to nodes, rendered many times."""
import html
import re

REPEAT = 11

TEMPLATE = """<ul>{% for row in rows %}
<li class="{{ row.kind }}">{{ row.name | upper }}: {% if row.price %}{{ row.price }} EUR{% else %}free{% endif %}
{% for tag in row.tags %}<b>{{ tag }}</b>{% endfor %}</li>{% endfor %}</ul>"""
TOKENS = re.compile(r"({%.*?%}|{{.*?}})")


class Text:
    def __init__(self, text):
        self.text = text

    def render(self, context, out):
        out.append(self.text)


class Variable:
    def __init__(self, expression):
        path, *self.filters = [part.strip() for part in expression.split("|")]
        self.path = path.split(".")

    def value(self, context):
        value = context[self.path[0]]
        for name in self.path[1:]:
            value = value[name]
        return value

    def render(self, context, out):
        text = str(self.value(context))
        for name in self.filters:
            text = getattr(text, name)()
        out.append(html.escape(text))


class For:
    def __init__(self, name, source):
        self.name, self.source, self.body = name, Variable(source), []

    def render(self, context, out):
        for item in self.source.value(context):
            inner = dict(context)
            inner[self.name] = item
            for node in self.body:
                node.render(inner, out)


class If:
    def __init__(self, condition):
        self.condition, self.body, self.other = Variable(condition), [], []

    def render(self, context, out):
        for node in self.body if self.condition.value(context) else self.other:
            node.render(context, out)


def compile_template(source):
    root = []
    bodies = [(None, root)]
    for token in TOKENS.split(source):
        if token.startswith("{{"):
            bodies[-1][1].append(Variable(token[2:-2]))
        elif not token.startswith("{%"):
            bodies[-1][1].append(Text(token))
        else:
            words = token[2:-2].split()
            if words[0] == "for":
                node = For(words[1], words[3])
            elif words[0] == "if":
                node = If(words[1])
            elif words[0] == "else":
                node = bodies.pop()[0]
                bodies.append((node, node.other))
                continue
            else:
                bodies.pop()
                continue
            bodies[-1][1].append(node)
            bodies.append((node, node.body))
    return root


def run():
    rows = [{"name": "article <%d>" % i, "kind": "odd" if i % 2 else "even", "price": i * 1.25 if i % 3 else 0,
             "tags": ["t%d" % (i % 7), "&"]} for i in range(300)]
    for _ in range(20):
        out = []
        for node in compile_template(TEMPLATE):
            node.render({"rows": rows}, out)
        assert len("".join(out)) > 10000
