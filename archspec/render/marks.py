"""Small signs of a figure: the glyph of each task, training marks, arrow heads, the sign of a residual."""

from __future__ import annotations

from math import cos, pi, sin
from typing import TYPE_CHECKING, Final

from archspec.render.letters import width
from archspec.render.scene import Circle, Path, Text, rectangle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.palette import Hue
    from archspec.render.figure import Block
    from archspec.render.paint import Paint
    from archspec.render.scene import Point, Shape

MOST_DOTS: Final = 6  # up to this many tasks have their own marks; of more, the number is written

CELLS: Final = 5
CELL: Final = 5.0  # side of a cell of a strip of tokens
TURNS: Final = ((4, 0.25), (3, 0.0), (4, 0.0), (3, 0.5), (6, 0.0))
"""Corners and rotation of the polygons that follow the circle: square, triangle, diamond, triangle down, hexagon."""


def glyph(place: int, x: float, y: float, size: float, colour: str) -> Shape:
    """The glyph of the task at a place in the spec's order, around (x, y): it tells tasks apart without colours."""
    kind = place % (len(TURNS) + 1)
    if kind == 0:
        return Circle(x, y, size / 2, fill=colour)
    corners, turn = TURNS[kind - 1]
    r = size * (0.62 if corners != 3 else 0.66)  # noqa: PLR2004 - about the area of the circle
    angles = (2 * pi * (corner / corners + (turn / 2 if corners == 4 else turn)) - pi / 2 for corner in range(corners))  # noqa: PLR2004
    points = tuple((x + r * cos(angle), y + r * sin(angle)) for angle in angles)
    return Path(points, fill=colour, closed=True)


def dots_width(block: Block, paint: Paint) -> float:
    """The width of `dots`."""
    if said := _counted(block, paint):
        return width(said, paint.style.detail)
    return max(0.0, len(block.trained) * (paint.style.dot + 1.6) - 1.6)


def dots(block: Block, x: float, y: float, paint: Paint) -> list[Shape]:
    """One glyph for each task that trains a block, from left to right around (x, y); of many tasks, their number."""
    size = paint.style.detail
    if said := _counted(block, paint):
        return [Text(x, y + 0.35 * size, said, size, paint.theme.muted)]
    return row(block.trained, x, y, paint)


def row(tasks: Sequence[str], x: float, y: float, paint: Paint) -> list[Shape]:
    """The glyphs of tasks from left to right around (x, y)."""
    step = paint.style.dot + 1.6
    first = x - step * (len(tasks) - 1) / 2
    return [
        glyph(paint.tasks.index(task), first + step * place, y, paint.style.dot, paint.hue(task).line)
        for place, task in enumerate(tasks)
    ]


def _counted(block: Block, paint: Paint) -> str:
    if block.many or len(block.trained) <= MOST_DOTS:
        return block.many
    return f"all {len(paint.tasks)}" if block.trained == paint.tasks else f"{len(block.trained)} of {len(paint.tasks)}"


def head(tip: Point, colour: str, size: float = 4.4) -> Path:
    """An arrow head that points upwards to `tip`."""
    x, y = tip
    return Path(((x, y), (x - size * 0.42, y + size), (x + size * 0.42, y + size)), fill=colour, closed=True)


def plus(x: float, y: float, r: float, stroke: str, back: str) -> list[Shape]:
    """The sign at which a residual is added."""
    return [
        Circle(x, y, r, stroke, 0.9, back),
        Path(((x - r * 0.6, y), (x + r * 0.6, y)), stroke, 0.9),
        Path(((x, y - r * 0.6), (x, y + r * 0.6)), stroke, 0.9),
    ]


def strip_size(tokens: int, paint: Paint) -> tuple[float, float]:
    """The width and height of `strip`; (0, 0) for rows."""
    if not tokens:
        return 0.0, 0.0
    return CELLS * CELL + 3 + width(_length(tokens), paint.style.detail), CELL + 4


def strip(tokens: int, x: float, y: float, hue: Hue, paint: Paint) -> list[Shape]:
    """A strip of cells below y, around x: a list of tokens, with how many there are."""
    if not tokens:
        return []
    wide, size = strip_size(tokens, paint)[0], paint.style.detail
    cells: list[Shape] = [
        rectangle(x - wide / 2 + CELL * place, y, CELL, CELL, fill=paint.theme.back, stroke=hue.line, width=0.8)
        for place in range(CELLS)
    ]
    middle = y + CELL / 2 + 0.35 * size
    return [*cells, Text(x + wide / 2, middle, _length(tokens), size, paint.theme.ink, anchor="end")]


def _length(tokens: int) -> str:
    return f"× {tokens}" if tokens > 0 else "…"


def tee(x: float, y: float, stroke: str, size: float = 3.2) -> Path:
    """A bar across an upward line: no gradient passes."""
    return Path(((x - size, y), (x + size, y)), stroke, 1.5)
