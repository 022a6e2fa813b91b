"""The checked graph as a figure: SVG, PNG, PDF, DOT, Mermaid, or a tree for a terminal.

From the graph to a picture, one module after the other: `levels` and `alike` leave out what is there several times,
`fold` makes blocks and arrows of the rest (a `Figure`), `forms` makes boxes of the blocks, `grid` puts them into rows
and lanes, `nets` joins arrows into lines, `passes`, `pins` and `tracks` route them, `compose` collects it all (a
`Scene`), and `svg` writes it; `picture` makes PNG and PDF of the SVG. `drawing` chooses how far to fold. DOT, Mermaid
and text come from the `Figure`.

This package contains everything that knows colours, shapes and output formats. It contains no checks (the graph does
them) and does not know any kind by name; the title, the detail and the settings of a node define how its kind is drawn.
"""

from __future__ import annotations

from archspec.render.dot import to_dot
from archspec.render.drawing import Drawing, Options, drawing, encode, to_svg
from archspec.render.write import FORMATS, TEXTS, render

__all__ = ["FORMATS", "TEXTS", "Drawing", "Options", "drawing", "encode", "render", "to_dot", "to_svg"]
