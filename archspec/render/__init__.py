"""The checked graph as a figure: DOT, SVG, PNG, PDF, Mermaid, or a tree for a terminal.

This package contains everything that knows colours, shapes and output formats. It contains no checks (the graph does
them) and does not know any kind by name; the title and the detail of a node define how its kind is drawn.
"""

from __future__ import annotations

from archspec.render.dot import to_dot
from archspec.render.drawing import Drawing, Options, drawing, encode, to_svg
from archspec.render.write import FORMATS, TEXTS, render

__all__ = ["FORMATS", "TEXTS", "Drawing", "Options", "drawing", "encode", "render", "to_dot", "to_svg"]
