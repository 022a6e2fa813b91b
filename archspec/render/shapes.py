"""Blocks as DOT nodes: which shape, how large, in which colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archspec.render import labels, style
from archspec.render.figure import Block, Figure, Part
from archspec.render.labels import attributes, quote

if TYPE_CHECKING:
    from archspec.render.style import Hue

# Points, about: a letter of a bold title, of a light one, of the details; around the words of a box, around a group.
BOLD: Final = 7.2
LIGHT: Final = 5.8
SMALL: Final = 4.6
PADDING: Final = 23
GAP: Final = 27


def shape(figure: Figure, block: Block) -> str:
    """The DOT statement that draws one block."""
    colours = style.hue(block.owner, figure.tasks)
    match block.form:
        case "inputs":
            look = _inputs(figure, block)
        case "group":
            look = {"shape": "none", "margin": 0, "label": labels.group(block.parts, block.title, colours)}
        case "gate":
            look = _trapezium(colours, block.title, block.detail)
        case "switch":
            look = _trapezium(colours, "switch", block.detail)
        case "feature_gate":
            look = _trapezium(style.YELLOW, block.title, block.detail)
        case "fusion":
            look = {
                "shape": "ellipse",
                "margin": "0.04,0.02",
                "width": 0.4,
                "height": 0.4,
                **_paint(colours),
                "fillcolor": style.WHITE,
                "label": labels.light(block.title, block.detail, colours.text),
            }
        case "output":
            text = labels.sized(block.title, style.TITLE_SIZE + 1, colours.text if block.owner else style.INK)
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


def _trapezium(colours: Hue, title: str, detail: str) -> dict[str, object]:
    # Sized here, because graphviz makes such a shape far larger than its words; these stand where it is narrower.
    inches = max(0.75, (1.5 * max(LIGHT * len(title), 0.8 * SMALL * len(detail)) + 8) / 72)
    return {
        "shape": "polygon",
        "sides": 4,
        "distortion": -0.3,
        "fixedsize": "true",
        "width": round(inches, 2),
        "height": 0.5 if detail else 0.4,
        **_paint(colours),
        "fillcolor": style.WHITE,
        "penwidth": 1.6,
        "label": labels.light(title, detail, colours.text),
    }


def _inputs(figure: Figure, block: Block) -> dict[str, object]:
    """A box; a wide bar where it feeds several groups or towers, so that the arrows do not all leave from one point."""
    fed = figure.fed[block.name]
    if len(fed) < 2:  # noqa: PLR2004 one arrow needs no bar
        return _box(style.YELLOW, labels.boxed(block.title, block.detail))
    widths = [_pitch(figure.blocks[name]) for name in fed]
    return _box(style.YELLOW, labels.bar(labels.boxed(block.title, block.detail), widths)) | {"margin": "0,0"}


def _pitch(block: Block) -> int:
    """About how many points a block and the gap beside it take in a row: close enough for straight arrows."""
    parts = block.parts or (Part(None, block.title, block.detail),)
    return GAP + sum(round(max(BOLD * len(part.title), SMALL * len(part.detail))) + PADDING for part in parts)
