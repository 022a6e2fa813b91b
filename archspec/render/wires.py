"""Lines with their corners, heads and marks, from the pins and tracks of each net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archspec.render import marks
from archspec.render.changes import COLOURS, DASH
from archspec.render.scene import Circle, Item, Path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archspec.render.figure import Figure
    from archspec.render.grid import Spot
    from archspec.render.nets import Net
    from archspec.render.paint import Paint
    from archspec.render.pins import Pin, Wires
    from archspec.render.scene import Point, Shape

CORNER: Final = 4.0
DASHES: Final = {"foreign": (4.0, 2.2), "detached": (1.2, 1.8), "penalty": (3.0, 2.0)}
HEAD: Final = 4.6
KNOB: Final = 1.7


@dataclass(frozen=True)
class Pen:
    """How the lines of a net are drawn."""

    colour: str
    width: float
    dash: tuple[float, ...] = ()
    pointed: bool = True


@dataclass(frozen=True)
class Heights:
    """Where rows and tracks are: the middle of each row, and the y of each (channel, net) that has a track."""

    middles: tuple[float, ...]
    tracks: Mapping[tuple[int, int], float]


def pen(figure: Figure, net: Net, paint: Paint) -> Pen:
    """The stroke of a net: a hue for data, grey and thin for control, or the colour of a change."""
    if net.change:
        dash = DASH if net.change == "removed" else ()
        return Pen(COLOURS[net.change], 0.9 if net.controls else 1.4, dash, pointed=not net.controls)
    if net.controls:
        return Pen(paint.theme.muted, 0.8, DASHES["detached"] if net.detached else (), pointed=False)
    colour = paint.hue(net.owner).line
    if net.detached:
        return Pen(colour, 1.2, DASHES["detached"])
    if figure.blocks[net.heads[0][0]].form == "penalty":
        return Pen(paint.theme.frame, 1.0, DASHES["penalty"])
    if net.role == "sees" and not net.own:
        return Pen(colour, 1.1, DASHES["foreign"])
    return Pen(colour, 1.1 if net.role == "residual" else 1.4, pointed=net.role != "residual")


@dataclass(frozen=True)
class Sketch:
    """Everything that lines are drawn from."""

    figure: Figure
    wires: Wires
    heights: Heights
    paint: Paint


def drawn(sketch: Sketch, number: int, net: Net) -> Item:
    """One net as an item."""
    figure, wires, heights, paint = sketch.figure, sketch.wires, sketch.heights, sketch.paint
    stroke = pen(figure, net, paint)
    channels = sorted(channel for channel, other in wires.below if other == number)
    lines, knots = _lines(wires, number, channels, heights)
    shapes: list[Shape] = [
        Path(points, stroke.colour, stroke.width, dash=stroke.dash, radius=CORNER) for points in lines
    ]
    shapes += [Circle(x, y, 1.5, fill=stroke.colour) for x, y in knots]
    for channel in channels:
        shapes += _ends(wires.above[channel, number], wires.below[channel, number], net, stroke)
    members = {name: " ".join(figure.blocks[name].members) for name, _ in (*net.tails, *net.heads)}
    data = {
        "id": net.name, "data-role": net.role,
        "data-tails": _named(figure, net.tails, members), "data-heads": _named(figure, net.heads, members),
        **({"data-change": net.change} if net.change else {}),
        **({"data-detached": "true"} if net.detached else {}), **({"data-owner": net.owner} if net.owner else {}),
    }  # fmt: skip
    return Item(f"wire {net.role.rpartition('.')[2]}", tuple(shapes), data)


def _named(figure: Figure, ends: Sequence[tuple[str, str | None]], members: Mapping[str, str]) -> str:
    found: list[str] = []
    for name, port in ends:
        parts = [part for part in figure.blocks[name].parts if port is not None and part.port == port]
        found += [" ".join(part.members) for part in parts] or [members[name]]
    return " ".join(dict.fromkeys(name for names in found for name in names.split()))


def _lines(
    wires: Wires, number: int, channels: Sequence[int], heights: Heights
) -> tuple[list[tuple[Point, ...]], list[Point]]:
    """The polylines of a net, and the points where they join."""
    single = all(len(wires.below[c, number]) == len(wires.above[c, number]) == 1 for c in channels)
    if single:
        points: list[Point] = []
        for channel in channels:
            points += _single(wires.below[channel, number][0], wires.above[channel, number][0],
                              heights.tracks.get((channel, number)), heights)  # fmt: skip
        return [_thinned(points)], []
    lines: list[tuple[Point, ...]] = []
    knots: list[Point] = []
    for channel in channels:
        below, above = wires.below[channel, number], wires.above[channel, number]
        track = heights.tracks.get((channel, number))
        if track is None:
            lines.append(_thinned(_single(below[0], above[0], None, heights)))
            continue
        found, joined = _tree(below, above, track, heights)
        lines += found
        knots += joined
    return lines, knots


def _thinned(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points without those between two others on one line."""
    kept: list[Point] = []
    for x, y in points:
        if kept and abs(kept[-1][0] - x) + abs(kept[-1][1] - y) < 0.01:  # noqa: PLR2004 - the same point
            continue
        if len(kept) > 1 and (kept[-2][0] == kept[-1][0] == x or kept[-2][1] == kept[-1][1] == y):
            kept[-1] = (x, y)
        else:
            kept.append((x, y))
    return tuple(kept)


def _single(below: Pin, above: Pin, track: float | None, heights: Heights) -> list[Point]:
    start, stop = _lower(below, heights), _upper(above, heights)
    if track is None:
        return [start, *stop]
    return [start, (below.x, track), (above.x, track), *stop]


def _lower(pin: Pin, heights: Heights) -> Point:
    """Where a line leaves the row below a channel."""
    if pin.spot is None:
        return pin.x, heights.middles[pin.row]
    return pin.x, pin.spot.y + pin.spot.box.upper(pin.port).y


def _upper(pin: Pin, heights: Heights) -> list[Point]:
    """The rest of a line, from the pin above a channel to its end."""
    if pin.spot is None:
        return [(pin.x, heights.middles[pin.row])]
    spot = pin.spot
    if pin.kind == "head":
        return [(pin.x, spot.y + spot.box.lower(pin.port).y + HEAD * 0.7)]
    if pin.kind == "sign":
        y = spot.y + spot.box.sign
        return [(pin.x, y), (spot.x + pin.toward * spot.box.sign, y)]
    knob = _knob(spot, pin)
    return [(pin.x, knob[1]), knob]


def _knob(spot: Spot, pin: Pin) -> Point:
    """Where a line enters the side of a box."""
    edge = spot.start + spot.box.inset if pin.toward < 0 else spot.end - spot.box.inset
    return edge + pin.toward * KNOB, spot.y + spot.box.side - 4.0 * pin.depth + 3.0


def _tree(
    below: Sequence[Pin], above: Sequence[Pin], track: float, heights: Heights
) -> tuple[list[tuple[Point, ...]], list[Point]]:
    """A trunk at the height of the track, whose two ends turn into the outermost pins, and the branches between."""
    arms = sorted(
        [(pin.x, [_lower(pin, heights)], 1) for pin in below] + [(pin.x, _upper(pin, heights), -1) for pin in above],
        key=lambda arm: (arm[0], arm[2]),
    )
    first, last = arms[0], arms[-1]
    trunk = [*reversed(first[1]), (first[0], track), (last[0], track), *last[1]]
    lines = [_thinned(trunk)]
    lines += [_thinned([(x, track), *points]) for x, points, _ in arms[1:-1]]
    knots = [(x, track) for x, _, _ in arms[1:-1]]
    return lines, knots


def _ends(above: Sequence[Pin], below: Sequence[Pin], net: Net, stroke: Pen) -> Iterator[Shape]:
    for pin in above:
        if pin.spot is None:
            continue
        spot = pin.spot
        if pin.kind == "head" and stroke.pointed:
            yield marks.head((pin.x, spot.y + spot.box.lower(pin.port).y), stroke.colour, HEAD)
        elif pin.kind == "side":
            yield Circle(*_knob(spot, pin), KNOB, fill=stroke.colour)
    for pin in below:
        if net.detached and pin.kind == "tail" and pin.spot is not None:
            yield marks.tee(pin.x, pin.spot.y + min(pin.spot.box.upper(pin.port).y, 0.0) - 3.0, stroke.colour)
