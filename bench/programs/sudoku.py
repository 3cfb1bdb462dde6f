# SPDX-License-Identifier: MIT
"""Sudoku by constraint propagation and search over dictionaries of strings."""

REPEAT = 17
DIGITS = "123456789"
SQUARES = [row + column for row in "ABCDEFGHI" for column in DIGITS]
UNITS = ([[r + c for c in DIGITS] for r in "ABCDEFGHI"] + [[r + c for r in "ABCDEFGHI"] for c in DIGITS] +
         [[r + c for r in rs for c in cs] for rs in ("ABC", "DEF", "GHI") for cs in ("123", "456", "789")])
UNITS_OF = {s: [u for u in UNITS if s in u] for s in SQUARES}
PEERS = {s: set(sum(UNITS_OF[s], [])) - {s} for s in SQUARES}
PUZZLES = ["4.....8.5.3..........7......2.....6.....8.4......1.......6.3.7.5..2.....1.4......",
           "..............3.85..1.2.......5.7.....4...1...9.......5......73..2.1........4...9"[:20] +
           "6.....8.3.4.7.................5.4.7.3..2.....1.6.......2.....5.....8.6......1...."[20:],
           "52...6.........7.13...........4..8..6......5...........418.........3..2...87.....",
           "6.....8.3.4.7.................5.4.7.3..2.....1.6.......2.....5.....8.6......1...."]


def assign(values, square, digit):
    return all(eliminate(values, square, other) for other in values[square].replace(digit, "")) and values


def eliminate(values, square, digit):
    if digit not in values[square]:
        return values
    values[square] = values[square].replace(digit, "")
    if not values[square]:
        return False
    if len(values[square]) == 1 and not all(eliminate(values, peer, values[square]) for peer in PEERS[square]):
        return False
    for unit in UNITS_OF[square]:
        places = [s for s in unit if digit in values[s]]
        if not places or len(places) == 1 and not assign(values, places[0], digit):
            return False
    return values


def search(values, budget):
    budget[0] -= 1
    if not values or all(len(values[s]) == 1 for s in SQUARES) or budget[0] < 0:
        return values
    _, square = min((len(values[s]), s) for s in SQUARES if len(values[s]) > 1)
    for digit in values[square]:
        found = search(assign(dict(values), square, digit), budget)
        if found:
            return found
    return False


def run():
    for puzzle in PUZZLES:
        values = dict.fromkeys(SQUARES, DIGITS)
        for square, digit in zip(SQUARES, puzzle):
            if digit in DIGITS and values:
                values = assign(values, square, digit)
        search(values, [60])
