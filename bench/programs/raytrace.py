# SPDX-License-Identifier: MIT
"""A ray tracer: vectors as objects with operators."""
import math

REPEAT = 13


class Vector:
    __slots__ = ("x", "y", "z")

    def __init__(self, x, y, z):
        self.x, self.y, self.z = x, y, z

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y, self.z + other.z)

    def __sub__(self, other):
        return Vector(self.x - other.x, self.y - other.y, self.z - other.z)

    def scale(self, factor):
        return Vector(self.x * factor, self.y * factor, self.z * factor)

    def dot(self, other):
        return self.x * other.x + self.y * other.y + self.z * other.z

    def normal(self):
        return self.scale(1 / math.sqrt(self.dot(self)))

    def reflect(self, normal):
        return self - normal.scale(2 * self.dot(normal))


class Sphere:
    def __init__(self, centre, radius, colour):
        self.centre, self.radius, self.colour = centre, radius, colour

    def hit(self, origin, direction):
        away = self.centre - origin
        along = away.dot(direction)
        under = self.radius ** 2 - away.dot(away) + along * along
        return along - math.sqrt(under) if under > 0 and along > 1e-3 else None

    def normal_at(self, point):
        return (point - self.centre).normal()


class Floor:
    colour = 0.5

    def hit(self, origin, direction):
        return -origin.y / direction.y if direction.y < -1e-3 else None

    def normal_at(self, point):
        return Vector(0, 1, 0)


LIGHT = Vector(3, 8, -4)


def trace(things, origin, direction, depth):
    nearest, distance = None, 1e9
    for thing in things:
        found = thing.hit(origin, direction)
        if found is not None and 1e-3 < found < distance:
            nearest, distance = thing, found
    if nearest is None:
        return 0.2
    point = origin + direction.scale(distance)
    normal = nearest.normal_at(point)
    light = max(0.1, (LIGHT - point).normal().dot(normal))
    if depth:
        return 0.7 * light * nearest.colour + 0.3 * trace(things, point, direction.reflect(normal), depth - 1)
    return light * nearest.colour


def run():
    things = [Sphere(Vector(i % 3 - 1, 0.6 + i * 0.2, i), 0.6, 0.3 + i / 10) for i in range(6)] + [Floor()]
    image = [trace(things, Vector(0, 1, -4), Vector(x / 30 - 1, 0.6 - y / 30, 2).normal(), 3)
             for y in range(36) for x in range(60)]
    assert 0 < sum(image) < len(image)
