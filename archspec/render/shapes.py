"""Blocks as DOT nodes: their shapes, sizes and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archspec import palette
from archspec.render import labels, style
from archspec.render.figure import Block, Figure, Part
from archspec.render.labels import attributes, quote

if TYPE_CHECKING:
    from archspec.palette import Hue

# Points, about: a letter of a bold title, of a light one, of the details; around the words of a box, around a group.
BOLD: Final = 7.2
LIGHT: Final = 5.8
SMALL: Final = 4.6
PADDING: Final = 23
GAP: Final = 27


def shape(figure: Figure, block: Block) -> str:
    """The DOT statement that draws one block."""
    colours = palette.hue(block.owner, figure.tasks)
    match block.form:
        case "inputs":
            look = _inputs(figure, block)
        case "group":
            look = {"shape": "none", "margin": 0, "label": labels.group(block.parts, block.title, colours)}
        case "gate" | "switch":
            look = _trapezium(colours, block)
        case "block":
            look = _trapezium(palette.YELLOW, block)
        case "fusion":
            look = _ellipse(colours, block)
        case "penalty":
            look = _ellipse(colours, block) | {"style": "filled,dashed", "color": palette.FRAME}
        case "output":
            text = labels.sized(block.title, style.TITLE_SIZE + 1, colours.text if block.owner else palette.INK)
            look = {"shape": "plaintext", "margin": "0.05,0.03", "height": 0.3, "label": labels.lines(text)}
        case _:
            look = _box(colours, labels.boxed(block.title, block.detail))
    return attributes(quote(block.name), **look)


def _paint(colours: Hue) -> dict[str, object]:
    return {"style": "filled", "fillcolor": colours.fill, "color": colours.line, "penwidth": 1.3}


def _box(colours: Hue, label: labels.Html) -> dict[str, object]:
    return {
        "shape": "box",
        "margin": "0.14,0.07",
        "height": 0.4,
        **_paint(colours),
        "style": "rounded,filled",
        "label": label,
    }


def _ellipse(colours: Hue, block: Block) -> dict[str, object]:
    return {
        "shape": "ellipse",
        "margin": "0.04,0.02",
        "width": 0.4,
        "height": 0.4,
        **_paint(colours),
        "fillcolor": palette.WHITE,
        "label": labels.light(block.title, block.small, colours.text),
    }


def _trapezium(colours: Hue, block: Block) -> dict[str, object]:
    # Sized here, because graphviz makes such a shape far larger than its text; the text is placed where it is narrower.
    lengths = (LIGHT * len(block.title), *(0.9 * SMALL * len(line) for line in block.small))
    return {
        "shape": "polygon",
        "sides": 4,
        "distortion": -0.3,
        "fixedsize": "true",
        "width": round(max(0.75, (1.2 * max(lengths) + 16) / 72), 2),
        "height": round(0.4 + 0.1 * len(block.small), 2),
        **_paint(colours),
        "fillcolor": palette.WHITE,
        "penwidth": 1.6,
        "label": labels.light(block.title, block.small, colours.text),
    }


def _inputs(figure: Figure, block: Block) -> dict[str, object]:
    """A box; a wide bar if it feeds several groups or towers, so that the arrows do not all leave from one point."""
    name, fed = figure.bar or ("", [])
    if block.name != name:
        return _box(palette.YELLOW, labels.boxed(block.title, block.detail))
    widths = [_pitch(figure.blocks[head]) for head in fed]
    words = labels.boxed(block.title, block.detail, round(sum(widths) / SMALL))
    return _box(palette.YELLOW, labels.bar(words, widths)) | {"margin": "0,0"}


def _pitch(block: Block) -> int:
    """The approximate width in points of a block and the gap next to it: close enough for straight arrows."""
    parts = block.parts or (Part(None, block.title, block.detail),)
    return GAP + sum(round(max(BOLD * len(part.title), SMALL * len(part.detail))) + PADDING for part in parts)
