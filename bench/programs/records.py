# SPDX-License-Identifier: MIT
"""Data classes, named tuples and enumerations: made, compared, replaced, turned into dictionaries."""
import collections
import dataclasses
import enum

REPEAT = 1


class Colour(enum.Enum):
    RED = 1
    GREEN = 2
    BLUE = 3


@dataclasses.dataclass(order=True)
class Order:
    number: int
    customer: str
    lines: list = dataclasses.field(default_factory=list, compare=False)
    colour: Colour = Colour.RED

    @property
    def total(self):
        return sum(line.price * line.count for line in self.lines)


Line = collections.namedtuple("Line", "article price count")


def run():
    for _ in range(3):
        orders = []
        for i in range(3000):
            order = Order(i * 7919 % 3000, "customer %d" % (i % 100), colour=Colour(i % 3 + 1))
            for j in range(4):
                order.lines.append(Line("article %d" % j, 1.5 * j, i % 5)._replace(count=j))
            orders.append(order)
        orders.sort()
        assert sum(order.total for order in orders) > 0
        changed = [dataclasses.replace(order, number=-order.number) for order in orders]
        assert min(changed).number == -2999
        for order in orders[:400]:
            dataclasses.asdict(order)
            repr(order)
