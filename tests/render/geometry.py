"""Measures a scene: crossing lines, and overlaps of lines, texts and boxes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from archspec.render.letters import width
from archspec.render.scene import Circle, Path, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.render.scene import Item, Scene, Shape

Rect = tuple[float, float, float, float]  # left, top, right, bottom
Segment = tuple[float, float, float, float]


@dataclass(frozen=True)
class Seen:
    """A drawing: boxes by name, lines by id, texts with the name of their box."""

    boxes: dict[str, Rect]
    lines: dict[str, list[Segment]]
    ends: dict[str, set[str]]
    texts: list[tuple[str, str, Rect]]


def look(scene: Scene) -> Seen:
    """The parts of a scene that may overlap."""
    boxes, lines, ends, texts = {}, {}, {}, []
    for item in scene.items:
        kind = item.what.split()[0]
        if kind == "node":
            boxes[item.data["data-node"]] = bounds(item)
            home = item.data["data-node"]
        elif kind == "wire":
            lines[item.data["id"]] = list(segments(item))
            ends[item.data["id"]] = {*item.data["data-tails"].split(), *item.data["data-heads"].split()}
            continue
        else:
            home = kind
        texts += [
            (home, shape.text, rect(shape)) for part in item.every() for shape in part.shapes if isinstance(shape, Text)
        ]
    return Seen(boxes, lines, ends, texts)


def rect(shape: Shape) -> Rect:
    """The rectangle around a shape."""
    if isinstance(shape, Text):
        wide = width(shape.text, shape.size, bold=shape.bold)
        start = {"start": 0.0, "middle": wide / 2, "end": wide}[shape.anchor]
        if shape.turned:
            return shape.x - shape.size * 0.72, shape.y - wide + start, shape.x, shape.y + start
        return shape.x - start, shape.y - shape.size * 0.72, shape.x - start + wide, shape.y
    if isinstance(shape, Circle):
        return shape.x - shape.r, shape.y - shape.r, shape.x + shape.r, shape.y + shape.r
    xs, ys = zip(*shape.points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def bounds(item: Item) -> Rect:
    """The rectangle around the outline of a block: its first shape, or its texts where it has no outline."""
    shapes = list(item.shapes)
    if item.what == "node output":
        rects = [rect(shape) for shape in shapes]
        lefts, tops, rights, bottoms = zip(*rects, strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)
    return rect(shapes[0])


def segments(item: Item) -> Iterator[Segment]:
    """The straight pieces of a line, without heads and dots."""
    for shape in item.shapes:
        if isinstance(shape, Path) and not shape.closed:
            for (x, y), (u, v) in pairwise(shape.points):
                yield x, y, u, v


def crossings(seen: Seen) -> int:
    """Pairs of pieces of different lines that cross."""
    count = 0
    for (one, mine), (other, theirs) in combinations(seen.lines.items(), 2):
        assert one != other
        count += sum(_cross(a, b) for a in mine for b in theirs)
    return count


def _cross(a: Segment, b: Segment, near: float = 0.3) -> bool:
    upright, level = (a, b) if a[0] == a[2] else (b, a)
    if upright[0] != upright[2] or level[1] != level[3]:
        return False
    low, high = sorted((upright[1], upright[3]))
    left, right = sorted((level[0], level[2]))
    return left + near < upright[0] < right - near and low + near < level[1] < high - near


def overlaps(seen: Seen, near: float = 0.4) -> list[tuple[str, str]]:
    """Lines that lie on top of each other for more than a few points."""
    found = []
    for (one, mine), (other, theirs) in combinations(seen.lines.items(), 2):
        if any(_same(a, b, near) for a in mine for b in theirs):
            found.append((one, other))
    return found


def _same(a: Segment, b: Segment, near: float, least: float = 4.0) -> bool:
    for across, along in ((0, 1), (1, 0)):
        if a[across] == a[across + 2] and b[across] == b[across + 2] and abs(a[across] - b[across]) < near:
            low = max(min(a[along], a[along + 2]), min(b[along], b[along + 2]))
            high = min(max(a[along], a[along + 2]), max(b[along], b[along + 2]))
            if high - low > least:
                return True
    return False


def hits(seen: Seen, members: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Lines that run through a box other than the two that they connect."""
    return [
        (line, name)
        for line, pieces in seen.lines.items()
        for name, box in seen.boxes.items()
        if members[name].isdisjoint(seen.ends[line]) and any(_through(piece, box) for piece in pieces)
    ]


def struck(seen: Seen) -> list[tuple[str, str]]:
    """Lines that run through a text."""
    return [
        (line, text)
        for line, pieces in seen.lines.items()
        for _, text, box in seen.texts
        if any(_through(piece, box) for piece in pieces)
    ]


def _through(piece: Segment, box: Rect, near: float = 0.5) -> bool:
    left, right = sorted((piece[0], piece[2]))
    top, bottom = sorted((piece[1], piece[3]))
    return left < box[2] - near and right > box[0] + near and top < box[3] - near and bottom > box[1] + near


def covered(seen: Seen) -> list[tuple[str, str]]:
    """Texts that overlap."""
    return [(one[1], other[1]) for one, other in combinations(seen.texts, 2) if _meet(one[2], other[2])]


def boxes_overlap(seen: Seen) -> list[tuple[str, str]]:
    """Blocks that overlap."""
    return [(a, b) for (a, one), (b, other) in combinations(seen.boxes.items(), 2) if _meet(one, other)]


def spilled(seen: Seen) -> list[tuple[str, str]]:
    """Texts that extend beyond the outline of their block, except beside the sign of a fusion."""
    return [
        (home, text)
        for home, text, box in seen.texts
        if home in seen.boxes
        and not home.startswith("fusion.")
        and (box[0] < seen.boxes[home][0] - 0.5 or box[2] > seen.boxes[home][2] + 0.5)
    ]


def _meet(one: Rect, other: Rect, near: float = 0.3) -> bool:
    return (
        one[0] < other[2] - near and other[0] < one[2] - near and one[1] < other[3] - near and other[1] < one[3] - near
    )
