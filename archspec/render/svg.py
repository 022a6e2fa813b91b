"""Writes a scene as SVG: the same scene, the same bytes.

The elements are a contract with pages that inline the figure:

- The root is `<svg class="archspec" role="img" aria-labelledby="title desc">` with a `<title>` and a `<desc>`.
- A block is `<g class="node FORM" data-node="..." data-tasks="...">`. FORM is inputs, feature_gate, block, group, gate,
  tower, switch, fusion, penalty or output. `data-node` is the block's canonical name (`level1.experts.ctr` for a group,
  the first input for a box of inputs), `data-members` the canonical names of all its nodes, `data-tasks` the tasks
  whose loss trains it, `data-owner` the task whose hue it has (absent: shared), `data-times` how many equal blocks it
  represents (absent: one).
- A part of a group or a switch is `<g class="part" data-node="level1.experts.ctr.0" data-tasks="...">`, inside the
  block; if it represents several, `data-node` lists all of them.
- A line is `<g class="wire ROLE" data-role="..." data-tails="..." data-heads="...">`; the lists hold canonical names of
  nodes (of an input box or a group as a whole: all of its nodes), `data-detached="true"` says that no gradient flows
  back. One line may join several tails with several heads; every tail then goes to every head.
- A level's frame is `<g class="level" data-level="1">`; `<g class="legend">` and `<g class="caption">` hold the rest.

Lists are separated by spaces: canonical names contain none. Every block and line has an id that is derived from its
names (`node-level1.gates.ctr`), so it does not change when other parts of the spec do. Fills and strokes are
presentation attributes, which a style sheet of the page overrides.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from archspec.render.letters import FAMILY, plain
from archspec.render.scene import Circle, Path, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archspec.render.scene import Item, Point, Scene, Shape


def to_svg(scene: Scene, across: float | None = None) -> str:
    """The scene as SVG text, `across` points wide (by default as wide as it is)."""
    scale = (across or scene.width) / scene.width
    size = f'width="{_n(scene.width * scale)}pt" height="{_n(scene.height * scale)}pt"'
    box = f'viewBox="0 0 {_n(scene.width)} {_n(scene.height)}" role="img" aria-labelledby="title desc"'
    box += f' font-family="{_attribute(FAMILY)}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="archspec" {size} {box}>',
        f'<title id="title">{_words(scene.title)}</title>',
        f'<desc id="desc">{_words(scene.summary)}</desc>',
    ]
    if scene.back != "none":
        lines.append(f'<rect class="paper" width="100%" height="100%" fill="{scene.back}"/>')
    for item in scene.items:
        lines += _item(item)
    return "\n".join([*lines, "</svg>", ""])


def _item(item: Item) -> Iterator[str]:
    data = "".join(f' {key}="{_attribute(value)}"' for key, value in item.data.items())
    yield f'<g class="{_attribute(item.what)}"{data}>'
    if item.title:
        yield f"<title>{_words(item.title)}</title>"
    yield from (_shape(shape) for shape in item.shapes)
    for inner in item.items:
        yield from _item(inner)
    yield "</g>"


def _shape(shape: Shape) -> str:
    match shape:
        case Text():
            return _text(shape)
        case Circle():
            return f'<circle cx="{_n(shape.x)}" cy="{_n(shape.y)}" r="{_n(shape.r)}"{_paint(shape)}/>'
        case Path():
            dash = f' stroke-dasharray="{" ".join(map(_n, shape.dash))}"' if shape.dash else ""
            return f'<path d="{outline(shape)}"{_paint(shape)}{dash}/>'


def _paint(shape: Circle | Path) -> str:
    stroke = f' stroke="{shape.stroke}" stroke-width="{_n(shape.width)}"' if shape.stroke != "none" else ""
    return f' fill="{shape.fill}"{stroke}'


def _text(text: Text) -> str:
    anchor = f' text-anchor="{text.anchor}"' if text.anchor != "start" else ""
    bold = ' font-weight="bold"' if text.bold else ""
    turn = f' transform="rotate(-90 {_n(text.x)} {_n(text.y)})"' if text.turned else ""
    return (
        f'<text x="{_n(text.x)}" y="{_n(text.y)}" font-size="{_n(text.size)}"{bold}{anchor} fill="{text.colour}"{turn}>'
        f"{_words(text.text)}</text>"
    )


def outline(path: Path) -> str:
    """The path in SVG's letters; corners are rounded by arcs of quadratic curves."""
    points = path.points
    if path.radius == 0:
        return _moves("M", points[:1]) + _moves("L", points[1:]) + ("Z" if path.closed else "")
    around = [points[-1], *points, points[0]] if path.closed else points
    text = [_moves("M", [_halfway(points[0], points[-1]) if path.closed else points[0]])]
    for before, corner, after in zip(around, around[1:], around[2:], strict=False):
        first, second = _towards(corner, before, path.radius), _towards(corner, after, path.radius)
        text.append(f"L{_p(first)}Q{_p(corner)} {_p(second)}")
    return "".join([*text, "Z" if path.closed else _moves("L", points[-1:])])


def _halfway(one: Point, other: Point) -> Point:
    return (one[0] + other[0]) / 2, (one[1] + other[1]) / 2


def _towards(corner: Point, other: Point, radius: float) -> Point:
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = (dx * dx + dy * dy) ** 0.5
    share = min(radius, length / 2) / length if length else 0.0
    return corner[0] + dx * share, corner[1] + dy * share


def _moves(letter: str, points: Sequence[Point]) -> str:
    return "".join(f"{letter}{_p(point)}" for point in points)


def _p(point: Point) -> str:
    return f"{_n(point[0])},{_n(point[1])}"


def _n(number: float) -> str:
    """A number with at most two decimals, and no negative zero."""
    return f"{round(number, 2) + 0.0:.2f}".rstrip("0").rstrip(".")


def _words(text: str) -> str:
    return html.escape(plain(text), quote=False)


def _attribute(text: str) -> str:
    return html.escape(plain(text), quote=True)
