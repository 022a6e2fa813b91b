"""Blocks as DOT nodes: their shapes, sizes and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archspec import palette
from archspec.render import labels, style
from archspec.render.labels import attributes, quote

if TYPE_CHECKING:
    from archspec.palette import Hue
    from archspec.render.figure import Block, Figure

# Points, about: a letter of a light title, of the details.
LIGHT: Final = 5.8
SMALL: Final = 4.6


def shape(figure: Figure, block: Block) -> str:
    """The DOT statement that draws one block."""
    colours = palette.hue(block.owner, figure.tasks)
    match block.form:
        case "inputs" | "block":
            look = _box(palette.SAND, labels.boxed(block.title, " : ".join(block.small)))
        case "group" | "switch":
            look = {"shape": "none", "margin": 0, "label": labels.group(block.parts, _below(block), colours)}
        case "gate":
            look = _trapezium(colours, block)
        case "feature_gate":
            look = _trapezium(palette.SAND, block)
        case "fusion":
            look = _ellipse(colours, block)
        case "penalty":
            look = _ellipse(colours, block) | {"style": "filled,dashed", "color": palette.FRAME}
        case "output":
            text = labels.sized(block.title, style.TITLE_SIZE + 1, colours.text if block.owner else palette.INK)
            small = labels.sized(" · ".join(block.small), style.DETAIL_SIZE, palette.MUTED)
            look = {"shape": "plaintext", "margin": "0.05,0.03", "height": 0.3, "label": labels.lines(text, small)}
        case _:
            look = _box(colours, labels.boxed(block.title, ", ".join(block.small)))
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


def _below(block: Block) -> str:
    """The words below the parts of a group or a switch."""
    return ", ".join(part for part in (block.title, block.detail, *block.words, *block.notes) if part)
