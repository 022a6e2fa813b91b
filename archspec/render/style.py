"""Sizes in figures, in points; the colours are those of `archspec/palette.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The constants are for DOT. A single name, not a list: Graphviz measures text with the metrics of exactly this family.
FONT: Final = "Helvetica"
TITLE_SIZE: Final = 12
DETAIL_SIZE: Final = 9
LABEL_SIZE: Final = 11
LEVEL_SIZE: Final = 10
SIGN_SIZE: Final = 16


@dataclass(frozen=True)
class Style:
    """How large things are drawn in SVG, PNG and PDF."""

    title: float = 9.5
    """Bold titles of experts, towers and inputs."""
    label: float = 8.5
    """Names of groups, gates and levels."""
    detail: float = 7.5
    """Sizes and settings; nothing is smaller."""
    wrap: float = 76.0
    """Width at which details wrap."""
    inputs: float = 95.0
    """Least width at which the details of one of several boxes of inputs wrap."""
    pad: float = 5.0
    """Distance between a box and its contents."""
    gap: float = 14.0
    """Distance between two boxes of a row."""
    pitch: float = 7.0
    """Distance between two parallel lines."""
    rise: float = 20.0
    """Least distance between two rows."""
    dot: float = 4.6
    """Size of a training mark."""


WIDE: Final = Style()
SLIM: Final = Style(
    title=7.5, label=6.5, detail=6.5, wrap=40.0, inputs=33.0, pad=2.5, gap=6.0, pitch=4.5, rise=16.0, dot=3.8
)  # fmt: skip
NARROW: Final = Style(
    title=7.5, label=7.0, detail=6.5, wrap=54.0, inputs=50.0, pad=3.0, gap=8.0, pitch=5.0, rise=16.0, dot=4.0
)  # fmt: skip
