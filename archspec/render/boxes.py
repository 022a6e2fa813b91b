"""Blocks as boxes: the text in each, its size, and where lines may meet it.

A box is laid out around its own upper left corner; the layout moves it. Lines meet a box at its lower edge (what it
reads), its upper edge (what reads it), and its sides (what controls it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.render import marks
from archspec.render.letters import LEADING, flow, width, wrap
from archspec.render.scene import Item, Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from archspec.palette import Hue
    from archspec.render.figure import Block
    from archspec.render.paint import Paint
    from archspec.render.scene import Shape
    from archspec.render.style import Style


@dataclass(frozen=True)
class Door:
    """Where lines may meet an edge: from `left` to `right`, at height `y`."""

    left: float
    right: float
    y: float


@dataclass(frozen=True)
class Box:
    """A block of `width` x `height` points with its shapes; `above` and `below` are its doors, by port."""

    block: Block
    width: float
    height: float
    item: Item
    above: dict[str | None, Door]
    below: dict[str | None, Door]
    side: float = 0.0
    """Height at which lines enter a side, from the top."""
    inset: float = 0.0
    """How far inside the box the side lies at that height."""
    sign: float = 0.0
    """Height of the sign at which residuals enter; 0: no sign."""

    def upper(self, port: str | None) -> Door:
        """The door at the upper edge of a part, or of the whole box if the part has none."""
        return self.above.get(port, self.above[None])

    def lower(self, port: str | None) -> Door:
        """The door at the lower edge of a part, or of the whole box if the part has none."""
        return self.below.get(port, self.below[None])


@dataclass(frozen=True)
class Words:
    """Lines of text below each other, centred at x = 0, from y = 0 downwards."""

    lines: tuple[tuple[str, float, bool, str], ...]  # text, size, bold, colour

    @property
    def width(self) -> float:
        """The width of the widest line."""
        return max((width(text, size, bold=bold) for text, size, bold, _ in self.lines), default=0.0)

    @property
    def height(self) -> float:
        """The height of all lines."""
        return sum(size * LEADING for _, size, _, _ in self.lines)

    def spans(self, y: float) -> Iterator[tuple[float, float]]:
        """The width of each line and the height of its upper edge, the first at y."""
        for text, size, bold, _ in self.lines:
            yield width(text, size, bold=bold), y
            y += size * LEADING

    def at(self, x: float, y: float) -> list[Shape]:
        """The lines with their middle at x, below y."""
        shapes: list[Shape] = []
        for text, size, bold, colour in self.lines:
            shapes.append(Text(x, y + size * 0.93, text, size, colour, bold))
            y += size * LEADING
        return shapes


def words(  # noqa: PLR0913 - one argument per property
    title: str, small: Iterable[str], style: Style, *, ink: str, colour: str | None = None, size: float | None = None,
    bold: bool = True, limit: float | None = None, dots: bool = False,
) -> Words:  # fmt: skip
    """A title over small lines, wrapped to `limit` points; with `dots`, the small ones share lines."""
    limit, size = limit or style.wrap, size or style.title
    lines = [(line, size, bold, colour or ink) for line in wrap(title, size, limit * 1.3, bold=bold)]
    broken = flow(small, style.detail, limit) if dots else [
        line for text in small for line in wrap(text, style.detail, limit)
    ]  # fmt: skip
    return Words((*lines, *((line, style.detail, False, ink) for line in broken)))


def finish(  # noqa: PLR0913 - one argument per property
    block: Block, w: float, h: float, shapes: Sequence[Shape], paint: Paint, *, items: Sequence[Item] = (),
    above: dict[str | None, Door] | None = None, below: dict[str | None, Door] | None = None, inset: float = 0.0,
    top: float = 0.0, sign: float = 0.0, ends: float = 0.32,
) -> Box:  # fmt: skip
    """A box of its shapes, with attributes; its doors are the middle part of the edges, unless given."""
    data = {"id": f"node-{block.name}", "data-node": block.name, "data-members": " ".join(block.members)}
    data["data-tasks"] = " ".join(block.trained)
    data |= {"data-owner": block.owner} if block.owner is not None else {}
    data |= {"data-times": str(block.times)} if block.times > 1 else {}
    reach = w * ends
    whole_above, whole_below = Door(w / 2 - reach, w / 2 + reach, top), Door(w / 2 - reach, w / 2 + reach, h)
    return Box(
        block, w, h, Item(f"node {block.form}", tuple(shapes), data, _tooltip(block, paint), tuple(items)),
        {None: whole_above, **(above or {})}, {None: whole_below, **(below or {})}, side=(h + top) / 2, inset=inset,
        sign=sign,
    )  # fmt: skip


def _tooltip(block: Block, paint: Paint) -> str:
    if not block.trained:
        return block.name
    said = "all tasks" if block.trained == paint.tasks and len(paint.tasks) > 1 else ", ".join(block.trained)
    return f"{block.name}: trained by {said}"


def label_of(
    text: str, block: Block, hue: Hue, paint: Paint, limit: float
) -> tuple[float, float, Callable[[float, float], list[Shape]]]:
    """The name of a group, gate or tower with the marks of the tasks that train it: its width, height and shapes."""
    lines = wrap(text, paint.style.label, limit)
    names = Words(tuple((line, paint.style.label, False, hue.text) for line in lines))
    marked = marks.dots_width(block, paint)
    beside = names.width + (4 + marked if marked and lines else 0)
    if not lines:
        return marked, paint.style.dot + 1.5, lambda x, y: marks.dots(block, x, y + paint.style.dot / 2, paint)
    if len(lines) <= 1 and beside <= max(limit, names.width):

        def one(x: float, y: float) -> list[Shape]:
            middle = x - beside / 2 + names.width / 2
            centre = x + beside / 2 - marked / 2
            return [*names.at(middle, y), *marks.dots(block, centre, y + paint.style.label * 0.62, paint)]

        return beside, paint.style.label * LEADING, one

    def two(x: float, y: float) -> list[Shape]:
        below = y + names.height + paint.style.dot / 2 + 0.5
        return [*names.at(x, y), *marks.dots(block, x, below, paint)]

    return max(names.width, marked), names.height + (paint.style.dot + 1.5 if marked else 0), two
