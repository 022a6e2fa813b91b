"""A figure as DOT text: inputs at the bottom, levels as dashed clusters, outputs on top.

The same graph gives the same bytes. Every text from a spec goes through `words` or `quote`, so it is always plain text.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from archspec import palette
from archspec.render import labels, style
from archspec.render.alike import MOST_ALIKE, fold_alike
from archspec.render.fold import fold
from archspec.render.labels import attributes, quote
from archspec.render.levels import fold_levels
from archspec.render.shapes import shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import networkx as nx

    from archspec.render.figure import Arrow, Block, Figure


def to_dot(
    graph: nx.MultiDiGraph[str], *, selectors: bool = False, collapse: int | None = None, caption: bool = True
) -> str:
    """The figure of a checked graph as DOT.

    Args:
        graph: what `archspec.build_graph` returns.
        selectors: also draw a gate's selector if it is the gate's own stream.
        collapse: a group with more experts than this is drawn as one box with a count (see `fold`).
        caption: print the model's name and its `about` below the figure.
    """
    figure = fold(fold_alike(fold_levels(graph), MOST_ALIKE), selectors=selectors, collapse=collapse)
    lines = [f"digraph {quote(figure.name)} {{", *_indent(_canvas(figure, caption=caption))]
    lines += _indent(_bottom(figure))
    for level in range(1, figure.levels + 1):
        if figure.rows(level):
            lines += _indent(_level(figure, level))
    lines += _indent(_top(figure))
    lines += _indent(_arrow(figure, arrow) for arrow in figure.arrows)
    lines += _indent(_scaffold(figure))
    return "\n".join([*lines, "}", ""])


def _canvas(figure: Figure, *, caption: bool) -> Iterator[str]:
    yield attributes(
        "graph",
        rankdir="BT",
        newrank="true",  # otherwise a level that reads the middle of the one below is placed next to it
        mclimit=0.1,  # the figure defines the order of each row; the renderer would mix tasks and domains
        remincross="false",
        bgcolor=palette.WHITE,
        fontname=style.FONT,
        fontsize=style.LABEL_SIZE,
        nodesep=0.25,
        ranksep=min(0.45 + 0.03 * max(0, len(figure.tasks) - 3), 1.2),
        pad=0.15,
        margin=0,
        splines="true",
    )
    yield attributes("node", fontname=style.FONT, fontsize=style.TITLE_SIZE, fontcolor=palette.INK)
    yield attributes("edge", fontname=style.FONT, fontsize=style.DETAIL_SIZE, arrowsize=0.7)
    if caption:
        yield attributes(
            "graph", labelloc="b", label=labels.caption(figure.name, " ".join((figure.about, *figure.remarks)))
        )


def _bottom(figure: Figure) -> Iterator[str]:
    for block in figure.across(figure.of_form("inputs", "feature_gate", "block")):
        yield shape(figure, block)


def _level(figure: Figure, level: int) -> Iterator[str]:
    yield f'subgraph "cluster_level{level}" {{'
    yield "  " + attributes(
        "graph",
        label=figure.level_name(level),
        fontsize=style.LEVEL_SIZE,
        labelloc="t",
        labeljust="l",
        margin=18,
        style="rounded,dashed",
        color=palette.FRAME,
        fontcolor=palette.MUTED,
    )
    for row in figure.rows(level):
        yield from _indent(_row(figure, row))
    yield "}"


def _row(figure: Figure, row: Sequence[Block], rank: str = "same") -> Iterator[str]:
    """Blocks of one height, kept in this order by invisible edges."""
    yield "{"
    yield f"  rank={rank};"
    yield from (f"  {shape(figure, block)}" for block in row)
    if len(row) > 1:
        yield "  " + attributes(" -> ".join(quote(block.name) for block in row), style="invis")
    yield "}"


def _scaffold(figure: Figure) -> Iterator[str]:
    """Invisible edges that keep each level above the one before, and towers above all, whatever they read."""
    rows = [row for level in range(1, figure.levels + 1) for row in figure.rows(level)]
    rows.append(figure.of_form("tower", "switch"))
    for below, above in pairwise(rows):
        names = {block.name for block in below}
        for block in above:
            if names.isdisjoint(arrow.tail for arrow in figure.reads[block.name]):
                yield attributes(
                    f"{quote(below[len(below) // 2].name)} -> {quote(block.name)}", style="invis", weight=0
                )


def _top(figure: Figure) -> Iterator[str]:
    for row in figure.towers():
        yield from _row(figure, row)
    for block in figure.of_form("fusion", "penalty"):
        yield shape(figure, block)
    outputs = figure.across(figure.of_form("output"))
    yield from _row(figure, outputs, "sink")


def _arrow(figure: Figure, arrow: Arrow) -> str:
    tail, head = figure.blocks[arrow.tail], figure.blocks[arrow.head]
    # A fusion or an output has the colour of its source; everything else has the colour of its reader.
    owner = (tail.owner or head.owner) if head.form in {"fusion", "output"} else head.owner
    stroke = _stroke(arrow, palette.hue(owner, figure.tasks).line, quiet=arrow.controls or head.form == "penalty")
    return attributes(f"{_end(arrow.tail, arrow.tail_port, 'n')} -> {_end(arrow.head, arrow.head_port, 's')}", **stroke)


def _stroke(arrow: Arrow, colour: str, *, quiet: bool) -> dict[str, object]:
    if quiet:
        look: dict[str, object] = {
            "color": palette.FRAME,
            "style": "dashed",
            "penwidth": 0.9,
            "arrowsize": 0.55,
            "weight": 0,
        }
    elif arrow.role == "sees" and not arrow.own:
        look = {"color": colour, "style": "dashed", "penwidth": 1.1}
    else:
        look = {"color": colour, "penwidth": 1.5, "weight": 20}  # prefer straight to short
    if arrow.detached:  # a bar at the tail: no gradient passes
        look |= {"style": "dotted", "dir": "both", "arrowtail": "tee", "arrowhead": "empty", "penwidth": 1.2}
    return look


def _end(block: str, port: str | None, side: str) -> str:
    return quote(block) if port is None else f"{quote(block)}:{quote(port)}:{side}"


def _indent(lines: Iterator[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
