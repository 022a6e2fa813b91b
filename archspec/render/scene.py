"""A figure before it is written: shapes in points, grouped in items for nodes, wires and so on.

x grows to the right and y downwards, from the upper left corner. Everything here is immutable and independent of specs
and formats; `svg.py` writes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; (x, y) is the start, middle or end of its baseline. `turned`: it reads upwards."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    bold: bool = False
    anchor: Literal["start", "middle", "end"] = "middle"
    turned: bool = False

    def moved(self, x: float, y: float) -> Self:
        """The same shape elsewhere."""
        return replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True, slots=True)
class Path:
    """A line through points, straight or with rounded corners; `closed` areas have a fill."""

    points: tuple[Point, ...]
    stroke: str = "none"
    width: float = 1.0
    fill: str = "none"
    dash: tuple[float, ...] = ()
    radius: float = 0.0
    closed: bool = False

    def moved(self, x: float, y: float) -> Self:
        """The same shape elsewhere."""
        return replace(self, points=tuple((a + x, b + y) for a, b in self.points))


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle around (x, y)."""

    x: float
    y: float
    r: float
    stroke: str = "none"
    width: float = 1.0
    fill: str = "none"

    def moved(self, x: float, y: float) -> Self:
        """The same shape elsewhere."""
        return replace(self, x=self.x + x, y=self.y + y)


Shape = Text | Path | Circle


def rectangle(  # noqa: PLR0913 - one argument per property
    x: float, y: float, w: float, h: float, *, fill: str = "none", stroke: str = "none", width: float = 1.0,
    radius: float = 0.0, dash: tuple[float, ...] = (),
) -> Path:  # fmt: skip
    """A rectangle with its upper left corner at (x, y)."""
    points = ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
    return Path(points, stroke, width, fill, dash, radius, closed=True)


@dataclass(frozen=True)
class Item:
    """Grouped shapes: the SVG class (`node gate`, `wire`, `level`, `legend`, ...), attributes and tooltip."""

    what: str
    shapes: tuple[Shape, ...]
    data: Mapping[str, str] = field(default_factory=dict)
    title: str = ""
    items: tuple[Item, ...] = ()

    def moved(self, x: float, y: float) -> Item:
        """The same item elsewhere."""
        shapes = tuple(shape.moved(x, y) for shape in self.shapes)
        return replace(self, shapes=shapes, items=tuple(item.moved(x, y) for item in self.items))

    def every(self) -> Iterator[Item]:
        """The item and those inside it."""
        yield self
        for item in self.items:
            yield from item.every()


@dataclass(frozen=True)
class Scene:
    """A whole figure, `width` x `height` points; `title` and `summary` are for people who cannot see it."""

    width: float
    height: float
    back: str
    title: str
    summary: str
    items: tuple[Item, ...]
    widest: str = ""
    """What to reduce for a narrower figure, as the end of a sentence."""

    def at_least(self, width: float) -> Scene:
        """The scene, centred on a sheet that is at least this wide."""
        if width <= self.width:
            return self
        aside = (width - self.width) / 2
        return replace(self, width=width, items=tuple(item.moved(aside, 0) for item in self.items))

    @property
    def smallest(self) -> float:
        """The size of the smallest text."""
        return min((text.size for text in self.texts()), default=0.0)

    def texts(self) -> Iterator[Text]:
        """All lines of text."""
        for top in self.items:
            for item in top.every():
                yield from (shape for shape in item.shapes if isinstance(shape, Text))
