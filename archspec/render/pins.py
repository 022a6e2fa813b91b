"""Pins: where each line meets a box, or passes a row.

Pins of one edge have the order of the lines' other ends, so lines that leave together do not cross; where possible,
pins are right below those ends, so lines are straight.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from archspec.render.grid import ascending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from archspec.render.grid import Grid, Spot
    from archspec.render.nets import Net
    from archspec.render.passes import Passes

ROUNDS: Final = 6
STUB: Final = 5.0  # from a line beside a box to the box

Kind = Literal["tail", "head", "side", "sign", "pass"]


@dataclass(eq=False)
class Pin:
    """A line at an edge: `x` between `low` and `high`. A pass has no spot."""

    kind: Kind
    row: int
    low: float
    high: float
    spot: Spot | None = None
    port: str | None = None
    x: float = 0.0
    depth: int = 0
    """Its place among the lines to one side of a box: 0 is the innermost."""
    toward: int = 0
    """The side that a line to a side comes from: -1 left, 1 right."""


@dataclass
class Wires:
    """Per channel (the space above a row) and net: the pins below it and those above it."""

    below: dict[tuple[int, int], list[Pin]] = field(default_factory=dict)
    above: dict[tuple[int, int], list[Pin]] = field(default_factory=dict)
    edges: dict[tuple[object, ...], list[tuple[Pin, int]]] = field(default_factory=dict)
    """An edge of a box, or a gap -> its pins and their nets."""


def side_of(spots: Mapping[str, Spot], net: Net, head: str) -> int:
    """The side at which a line that controls a block enters: the one nearer to the line's start."""
    xs = [spots[tail].x for tail, _ in net.tails]
    return 1 if sum(xs) / len(xs) > spots[head].x + 1 else -1


def reserve(grid: Grid, nets: Sequence[Net]) -> None:
    """Reserves room next to boxes that lines enter from a side."""
    spots = grid.spots
    for spot in spots.values():
        spot.left = spot.right = 0.0
    for net in nets:
        if not net.controls and net.role != "residual":
            continue
        for head, _ in net.heads:
            spot = spots[head]
            if side_of(spots, net, head) < 0:
                spot.left += STUB if spot.left else STUB + 1
            else:
                spot.right += STUB if spot.right else STUB + 1


def place(grid: Grid, nets: Sequence[Net], passes: Passes) -> Wires:
    """All pins, with their x."""
    wires, spots = Wires(), grid.spots
    sides: dict[tuple[str, int], int] = {}
    for number, net in enumerate(nets):
        for tail, port in net.tails:
            spot = spots[tail]
            door = spot.box.upper(port)
            pin = Pin("tail", spot.row, spot.start + door.left, spot.start + door.right, spot, port, spot.x)
            wires.below.setdefault((spot.row, number), []).append(pin)
            wires.edges.setdefault((tail, "above"), []).append((pin, number))
        for head, port in net.heads:
            pin = _head(spots, net, head, port, sides)
            wires.above.setdefault((pin.row - 1, number), []).append(pin)
            if pin.kind == "head":
                wires.edges.setdefault((head, "below"), []).append((pin, number))
    for (number, row), gap in passes.items():
        low, high = grid.free(row, gap)
        pin = Pin("pass", row, low, high)
        wires.above.setdefault((row - 1, number), []).append(pin)
        wires.below.setdefault((row, number), []).append(pin)
        wires.edges.setdefault((row, gap), []).append((pin, number))
    _spread(grid, wires)
    return wires


def _head(spots: Mapping[str, Spot], net: Net, head: str, port: str | None, sides: dict[tuple[str, int], int]) -> Pin:
    spot = spots[head]
    if not net.controls and net.role != "residual":
        door = spot.box.lower(port)
        return Pin("head", spot.row, spot.start + door.left, spot.start + door.right, spot, port, spot.x)
    toward = side_of(spots, net, head)
    depth = sides.get((head, toward), 0)
    sides[head, toward] = depth + 1
    edge = spot.start if toward < 0 else spot.end
    x = edge + toward * (STUB + STUB * depth)
    kind: Kind = "sign" if net.role == "residual" and spot.box.sign else "side"
    return Pin(kind, spot.row, x, x, spot, port, x, depth, toward)


def _spread(grid: Grid, wires: Wires) -> None:
    for pins in wires.edges.values():
        for pin, number in pins:
            if pin.kind == "pass":
                others = [other for other in _others(wires, pin, number) if other.kind != "pass"]
                wish = sum(other.x for other in others) / len(others) if others else (pin.low + pin.high) / 2
                pin.x = _within(wish, pin)
    for _ in range(ROUNDS):
        for pins in wires.edges.values():
            _order(pins, wires, grid.style.pitch)
    straighten(wires, grid.style.pitch)
    separate(wires, grid.style.pitch)


def straighten(wires: Wires, pitch: float, most: float = 9.0) -> None:
    """Removes small bends: of two pins that one line joins, one moves above the other if its neighbours allow."""
    home = {id(pin): (pins, number) for pins in wires.edges.values() for pin, number in pins}
    for channel, number in sorted(wires.below):
        pairs = (wires.below[channel, number], wires.above.get((channel, number), []))
        if len(pairs[0]) != 1 or len(pairs[1]) != 1:
            continue
        below, above = pairs[0][0], pairs[1][0]
        if 0 < abs(below.x - above.x) <= most:
            for pin, x in ((above, below.x), (below, above.x)):
                if id(pin) in home and pin.low <= x <= pin.high and _clear(home[id(pin)][0], pin, x, pitch):
                    pin.x = x
                    break


def separate(wires: Wires, pitch: float, near: float = 2.5) -> None:
    """Moves pins apart if two lines would overlap whichever of them is above the other."""
    home = {id(pin): pins for pins in wires.edges.values() for pin, _ in pins}
    for channel in sorted({channel for channel, _ in wires.below}):
        nets = [number for other, number in wires.below if other == channel]
        below = [(pin, net) for net in nets for pin in wires.below[channel, net]]
        above = [(pin, net) for net in nets for pin in wires.above.get((channel, net), [])]
        close = [(a, n, b, m) for a, n in below for b, m in above if n != m and abs(a.x - b.x) < near]
        for pin, net, other, foreign in close:
            if not any((n, m) == (foreign, net) for _, n, _, m in close) or abs(pin.x - other.x) >= near:
                continue
            taken = [x.x for x, number in (*below, *above) if number != net]
            for x in (pin.x + step * pitch for step in (0.6, -0.6, 1.0, -1.0, 1.4, -1.4)):
                free = pin.low <= x <= pin.high and all(abs(x - t) >= near for t in taken)
                if free and _clear(home.get(id(pin), []), pin, x, pitch):
                    pin.x = x
                    break


def _clear(pins: Sequence[tuple[Pin, int]], pin: Pin, x: float, pitch: float) -> bool:
    others = [other.x for other, _ in pins if other is not pin]
    return all(abs(other - x) >= pitch * 0.7 and (other < x) == (other < pin.x) for other in others)


def _within(x: float, pin: Pin) -> float:
    return (pin.low + pin.high) / 2 if pin.low > pin.high else min(max(x, pin.low), pin.high)


def _others(wires: Wires, pin: Pin, number: int) -> list[Pin]:
    """The pins of the net on the other sides of the channels that the pin borders on."""
    found: list[Pin] = []
    if pin.kind in {"tail", "pass"}:
        found += wires.above.get((pin.row, number), [])
    if pin.kind != "tail":
        found += wires.below.get((pin.row - 1, number), [])
    return found


def _order(pins: list[tuple[Pin, int]], wires: Wires, pitch: float) -> None:
    """Puts the pins of one edge side by side, at least `pitch` apart if there is room."""

    def wish(entry: tuple[Pin, int]) -> tuple[float, float, int]:
        pin, number = entry
        others = [other.x for other in _others(wires, pin, number)]
        mean = sum(others) / len(others) if others else pin.x
        return mean, -pin.row, number

    ordered = sorted(pins, key=wish)
    wishes = []
    for pin, number in ordered:
        others = sorted((abs(other.x - pin.x), other.x) for other in _others(wires, pin, number))
        wishes.append(_within(others[0][1] if others else pin.x, pin))
    for (pin, _), x in zip(ordered, spaced(wishes, [pin for pin, _ in ordered], pitch), strict=True):
        pin.x = x


def spaced(wishes: Sequence[float], pins: Sequence[Pin], pitch: float) -> list[float]:
    """Positions near the wanted ones, in their order, `pitch` apart, within the pins' bounds if there is room."""
    low, high = min(pin.low for pin in pins), max(pin.high for pin in pins)
    count = len(pins)
    if count > 1 and high - low < pitch * (count - 1):
        pitch = max((high - low) / (count - 1), 0.0)
        if high < low:
            low = high = (low + high) / 2
    shifted = ascending(wish - number * pitch for number, wish in enumerate(wishes))
    xs = [x + number * pitch for number, x in enumerate(shifted)]
    return _bounded(xs, low, high, pitch)


def _bounded(xs: Iterable[float], low: float, high: float, pitch: float) -> list[float]:
    found: list[float] = []
    for x in xs:
        found.append(max(x, low, *(before + pitch for before in found[-1:])))
    limit = high
    for place in reversed(range(len(found))):
        found[place] = min(found[place], limit)
        limit = found[place] - pitch
    return found
