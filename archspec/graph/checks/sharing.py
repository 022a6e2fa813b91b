"""Checks of experts and blocks that share weights: widths must agree, and those with equal outputs get a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.diagnostics import Note
from archspec.graph.calls import setting_span
from archspec.graph.widths import read_by, tokens_of, width_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.diagnostics import Diagnostics
    from archspec.graph.graph import Graph, Node


def check_sharing(graph: Graph, diagnostics: Diagnostics) -> None:
    """Checks that experts with the same weights read streams of the same width."""
    for node in _sharing(graph):
        owner = graph.nodes.get(node.like or "")
        if owner is None:
            continue
        for role in _roles(graph, node):
            width, expected = _width(graph, node, role), _width(graph, owner, role)
            reads, others = _reads(graph, node, role), _reads(graph, owner, role)
            if width is None or expected is None or reads == others:
                continue
            alike = "width and length" if " tokens of " in reads else "width"
            one, other = node.what, f"`{owner.block.name}`, whose weights it uses,"
            message = f"{one} reads {reads} numbers, but {other} reads {others}"
            if role != "from":
                message = f"`{role}` of {one} is {width} wide, but that of {other} is {expected}"
            diagnostics.error(
                "AS232",
                message,
                setting_span(node, *role.split(".")),
                notes=[*node.block.provenance, Note(owner.what, owner.block.place)],
                help=f"let both read streams of the same {alike}, or write its settings instead of `like`",
            )


def report_same(graph: Graph, diagnostics: Diagnostics) -> None:
    """Reports experts that read the same streams with the same weights."""
    first: dict[object, Node] = {}
    for node in graph.nodes.values():
        if node.category not in {"expert", "block"} or node.index:
            continue
        streams = tuple((role, graph.streams[node.name, role]) for role in _roles(graph, node))
        other = first.setdefault((node.like or node.name, streams), node)
        if other is not node:
            diagnostics.warning(
                "AS234",
                f"{node.what} reads the same streams as `{other.block.name}` with the same weights, "
                "so their outputs are equal",
                node.block.place,
                notes=[*node.block.provenance, Note(other.what, other.block.place)],
                help="write in `from` what it reads, or remove it",
            )


def _sharing(graph: Graph) -> Iterator[Node]:
    """The first expert of each group that uses another group's weights."""
    return (node for node in graph.nodes.values() if node.like is not None and not node.index)


def _roles(graph: Graph, node: Node) -> list[str]:
    """The roles in which an expert reads references: `from`, and those in its settings."""
    roles = {edge.role for edge in graph.into(node.name)}
    return sorted(role for role in roles if (node.name, role) in graph.streams)


def _reads(graph: Graph, node: Node, role: str) -> str:
    """What a node reads, in words: `8`, `50 tokens of 8`, `fields of 4, 4`."""
    width = read_by(graph, node, role)
    count = tokens_of(graph, graph.streams[node.name, role])
    if isinstance(width, tuple):
        return f"fields of {', '.join(map(str, width))}"
    return f"{count} tokens of {width}" if count else str(width)


def _width(graph: Graph, node: Node, role: str) -> int | None:
    stream = graph.streams.get((node.name, role))
    return None if stream is None else width_of(graph, stream)
