"""The checked graph as a figure: DOT, SVG, PNG, PDF, Mermaid, or a tree for a terminal.

Here lives all that knows colours, shapes and output formats. What may not: checks (those are the graph's), and any kind
by its name; a kind says how it is drawn through the title and the detail of its node.
"""

from __future__ import annotations

from archspec.render.dot import to_dot
from archspec.render.draw import draw
from archspec.render.write import FORMATS, render

__all__ = ["FORMATS", "draw", "render", "to_dot"]
