"""The form of each block of a figure: groups with their experts, gates, towers, fusions, inputs, outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from archspec.render import marks
from archspec.render.boxes import Door, Words, finish, label_of, words
from archspec.render.changes import marked
from archspec.render.letters import width, wrap
from archspec.render.scene import Circle, Item, Path, Text, rectangle

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.palette import Hue
    from archspec.render.boxes import Box
    from archspec.render.figure import Block, Part
    from archspec.render.paint import Paint
    from archspec.render.scene import Shape

SLANT: Final = 7.0  # how much narrower a gate is at its upper corners
ROUND: Final = 4.0


@dataclass(frozen=True)
class Fit:
    """What the shape of a box depends on."""

    residual: bool = False
    """A gate adds another stream."""
    across: float = 0.0
    """Least width of a bar of inputs."""
    limit: float = 0.0
    """Width at which the words of inputs wrap; 0: the width of the bar."""


def box(block: Block, paint: Paint, fit: Fit) -> Box:
    """The box of a block."""
    return FORMS.get(block.form, _plain)(block, paint, fit)


def _group(block: Block, paint: Paint, _fit: Fit) -> Box:
    hue, style = paint.block(block), paint.style
    pad = style.pad
    inner = [words(part.title, (part.detail, *part.words), style, ink=paint.theme.ink) for part in block.parts]
    height = max(part.height for part in inner) + 2 * pad - 1
    widths = [part.width + 2 * pad for part in inner]
    content = sum(widths) + pad * (len(widths) - 1)
    small = Words(tuple((line, style.detail, False, paint.theme.muted) for text in (*block.words, *block.notes)
                        for line in wrap(text, style.detail, max(content, style.wrap))))  # fmt: skip
    name = block.title if block.form == "group" else f"{block.title}: {block.detail}"
    if width(name, style.label) + 4 + marks.dots_width(block, paint) > max(content, style.wrap):
        name = name.removesuffix(" experts")
    label_w, label_h, label = label_of(name, block, hue, paint, max(content, style.wrap * 1.2))
    w = max(content, label_w, small.width) + 2 * pad
    h = pad + height + 2 + label_h + small.height + pad * 0.6
    x, items = (w - content) / 2, []
    above: dict[str | None, Door] = {}
    below: dict[str | None, Door] = {}
    for part, text, part_w in zip(block.parts, inner, widths, strict=True):
        items.append(_part(part, text, (x, pad, part_w, height), hue, block, paint.theme.back))
        above[part.port] = Door(x + part_w * 0.2, x + part_w * 0.8, pad if part.port else 0.0)
        below[part.port] = Door(x + part_w * 0.2, x + part_w * 0.8, h)
        x += part_w + pad
    shapes = [
        rectangle(0, 0, w, h, fill=hue.tint, stroke=hue.edge, width=0.9, radius=ROUND + 2),
        *label(w / 2, pad + height + 2), *small.at(w / 2, pad + height + 2 + label_h),
    ]  # fmt: skip
    above.pop(None, None)
    below.pop(None, None)
    return finish(block, w, h, shapes, paint, items=items, above=above, below=below)


def _part(part: Part, text: Words, place: tuple[float, float, float, float], hue: Hue, block: Block, back: str) -> Item:  # noqa: PLR0913, PLR0917 - one argument per property
    x, y, w, h = place
    shapes: list[Shape] = [rectangle(x, y, w, h, fill=hue.fill, stroke=hue.line, radius=ROUND)]
    shapes += text.at(x + w / 2, y + (h - text.height) / 2)
    data = {"data-node": " ".join(part.members), "data-tasks": " ".join(block.trained)}
    return marked(Item("part", tuple(shapes), data), place, part.change, back)


def _gate(block: Block, paint: Paint, fit: Fit) -> Box:
    """A trapezium: the kind of gate, and below it the gate's name and the tasks that train it."""
    hue, style = paint.block(block), paint.style
    top = style.label + 3 if fit.residual else 0.0
    own = block.name.rpartition(".")[2]
    if block.times > 1:
        own = f"{'task' if own == block.owner else own} × {block.times}"
    if block.form == "gate":
        text = words(
            block.title,
            block.small,
            style,
            ink=paint.theme.ink,
            colour=hue.text,
            bold=False,
            size=style.label,
        )
    else:
        text = words(block.title, block.small, style, ink=paint.theme.ink, size=style.label)
    limit = max(text.width, style.wrap * 0.8)
    label_w, label_h, label = label_of(own if block.form == "gate" else "", block, hue, paint, limit)
    h = top + text.height + label_h + style.pad * 0.9 + 2
    inside = [*text.spans(style.pad * 0.5), (label_w, style.pad * 0.5 + text.height)]
    w = max(wide + 2 * SLANT * (1 - y / (h - top)) for wide, y in inside) + style.pad + 3
    corners = ((SLANT, top), (w - SLANT, top), (w, h), (0, h))
    shapes: list[Shape] = [
        Path(corners, hue.line, 1.2, paint.theme.back, radius=1.5, closed=True),
        *text.at(w / 2, top + style.pad * 0.5), *label(w / 2, top + style.pad * 0.5 + text.height),
    ]  # fmt: skip
    if fit.residual:
        r = style.label / 2
        shapes += [
            Path(((w / 2, top), (w / 2, 0)), hue.line, 1.0),
            *marks.plus(w / 2, r, r, hue.line, paint.theme.back),
        ]
        return finish(block, w, h, shapes, paint, inset=SLANT / 2, top=top, sign=r, ends=0.3,
                       above={None: Door(w / 2, w / 2, 0.0)})  # fmt: skip
    return finish(block, w, h, shapes, paint, inset=SLANT / 2, ends=0.3)


def _plain(block: Block, paint: Paint, _fit: Fit) -> Box:
    """A rounded box: towers, blocks, and fusions that only add to the loss."""
    hue, pad = paint.block(block), paint.style.pad
    text = words(block.title, block.small, paint.style, ink=paint.theme.ink)
    label_w, label_h, label = label_of("", block, hue, paint, paint.style.wrap)
    strip_w, strip_h = marks.strip_size(block.tokens, paint)
    w, h = max(text.width, label_w, strip_w) + 2 * pad + 4, text.height + label_h + strip_h + 1.6 * pad
    penalty = block.form == "penalty"
    body = rectangle(
        0, 0, w, h, fill=paint.theme.back if penalty else hue.fill, stroke=hue.line, width=1.1, radius=ROUND,
        dash=(3.0, 2.0) if penalty else (),
    )  # fmt: skip
    y = pad * 0.8 + strip_h
    shapes = [body, *marks.strip(block.tokens, w / 2, pad * 0.8, hue, paint), *text.at(w / 2, y)]
    return finish(block, w, h, [*shapes, *label(w / 2, y + text.height)], paint)


def _fusion(block: Block, paint: Paint, _fit: Fit) -> Box:
    hue, r = paint.block(block), paint.style.title * 0.85
    sign = Words(((block.title, paint.style.title * (1.3 if len(block.title) == 1 else 0.9), False, hue.text),))
    r = max(r, sign.width / 2 + 3)
    small = Words(tuple((line, paint.style.detail, False, paint.theme.ink) for text in block.small
                        for line in wrap(text, paint.style.detail, paint.style.wrap)))  # fmt: skip
    w = 2 * max(r, (small.width and r + 3 + small.width))
    shapes: list[Shape] = [Circle(w / 2, r, r, hue.line, 1.1, paint.theme.back), *sign.at(w / 2, r - sign.height / 2)]
    shapes += [
        Text(w / 2 + r + 3, y.y, y.text, y.size, y.colour, anchor="start")
        for y in small.at(0, r - small.height / 2) if isinstance(y, Text)
    ]  # fmt: skip
    return finish(block, w, 2 * r, shapes, paint, above={None: Door(w / 2, w / 2, 0)},
                   below={None: Door(w / 2 - r * 0.6, w / 2 + r * 0.6, 2 * r - r * 0.2)})  # fmt: skip


def _output(block: Block, paint: Paint, _fit: Fit) -> Box:
    hue, style = paint.hue(block.owner), paint.style
    colour = hue.text if block.owner else paint.theme.ink
    text = words(
        block.title, (" · ".join(block.small),), style, ink=paint.theme.muted, colour=colour, size=style.title + 1
    )
    sign = block.owner in paint.tasks and len(paint.tasks) > 1
    across = max((width(line, size, bold=True) for line, size, bold, _ in text.lines if bold), default=0.0)
    w, h = max(text.width, across + (2 * (style.dot + 3) if sign else 0)), text.height + 2
    shapes = text.at(w / 2, 0)
    if sign:
        place, left = paint.tasks.index(block.owner or ""), w / 2 - across / 2 - style.dot
        shapes.append(marks.glyph(place, left, style.title * 0.62, style.dot + 1, hue.line))
    return finish(block, w, h, shapes, paint, ends=0.2)


def _inputs(block: Block, paint: Paint, fit: Fit) -> Box:
    hue, pad = paint.block(block), paint.style.pad
    limit = fit.limit or max(paint.style.wrap * 1.6, fit.across - 4 * pad)
    title = f"{block.title} : {block.detail}" if block.detail else block.title
    text = words(title, block.small[bool(block.detail) :], paint.style, ink=paint.theme.ink, limit=limit, dots=True)
    strip_w, strip_h = marks.strip_size(block.tokens, paint)
    w, h = max(text.width + 2 * pad + 4, fit.across, strip_w + 2 * pad), text.height + strip_h + 1.4 * pad
    body = rectangle(0, 0, w, h, fill=hue.fill, stroke=hue.line, width=1.1, radius=ROUND)
    strip = marks.strip(block.tokens, w / 2, pad * 0.8, hue, paint)
    return finish(block, w, h, [body, *strip, *text.at(w / 2, pad * 0.7 + strip_h)], paint, ends=0.46)


FORMS: Final[dict[str, Callable[[Block, Paint, Fit], Box]]] = {
    "group": _group, "switch": _group, "gate": _gate, "feature_gate": _gate, "fusion": _fusion, "output": _output,
    "inputs": _inputs,
}  # fmt: skip
"""The forms that are not a plain rounded box."""
