"""Widths of streams, and what the kind of a gate may know about the experts that the gate sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.graph.construct.levels import is_none
from archspec.program import Seen
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from archspec.graph.graph import Graph, Node, Stream


def width_of(graph: Graph, stream: Stream) -> int | None:
    """Width of a stream, None if it is not known."""
    widths = [graph.widths.get(i) if isinstance(i, str) else width_of(graph, i) for i in stream.items]
    known = [width for width in widths if width is not None]
    if len(known) < len(widths) or not known:
        return None
    return known[0] if stream.combine == "sum" else sum(known)


def tokens_of(graph: Graph, stream: Stream) -> int | None:
    """The number of tokens of a stream, None if it is rows; a checked stream has one number for all parts."""
    return next((graph.tokens[name] for name, _ in stream.nodes() if name in graph.tokens), None)


def read_by(graph: Graph, node: Node, role: str = "from") -> int | tuple[int, ...] | None:
    """What the methods of a kind take as `input`: the width of the stream read, or of each field if it takes fields.

    None if a width is not known.
    """
    stream = graph.streams.get((node.name, role))
    if stream is None or not isinstance(node.block, Block):
        return None
    if getattr(node.block.settings, "takes", "rows") != "fields":
        return width_of(graph, stream)
    found = [graph.widths.get(leaf) if isinstance(leaf, str) else width_of(graph, leaf) for leaf in stream.leaves()]
    widths = tuple(width for width in found if width is not None)
    return widths if widths and len(widths) == len(found) else None


def count_of(graph: Graph, node: Node) -> int:
    """The number of tokens or fields that an expert or block reads; 1 for rows."""
    stream = graph.streams[node.name, "from"]
    assert isinstance(node.block, Block)
    if getattr(node.block.settings, "takes", "rows") == "fields":
        return sum(1 for _ in stream.leaves())
    return tokens_of(graph, stream) or 1


def factors_of(graph: Graph, node: Node) -> int:
    """The number of factors of a feature gate: one per field, or one per element."""
    assert isinstance(node.block, Block)
    stream = graph.streams[node.name, "from"]
    return sum(1 for _ in stream.leaves()) if node.block.common.per == "field" else width_of(graph, stream) or 0


def selector_of(graph: Graph, node: Node) -> int | None:
    """The width of what a feature gate's network reads: the selector's, or its number of fields if it is squeezed."""
    assert isinstance(node.block, Block)
    stream = graph.streams[node.name, "selector"]
    return width_of(graph, stream) if node.block.common.squeeze == "none" else sum(1 for _ in stream.leaves())


def seen_by(graph: Graph, node: Node) -> Seen:
    """What the kind of a gate may know about what the gate sees; a width that a mistake in the spec hides is 0."""
    block = node.block
    assert isinstance(block, Block)
    domain = None
    if block.settings is not None and block.settings.selects == "domain":
        domain = next((edge.source for edge in graph.into(node.name, "domain")), None)
    stream = graph.streams.get((node.name, "selector"))
    static = is_none(block.common.selector) if block.common.selector else domain is None
    seen, rule = graph.seen[node.name], block.common.by_domain
    return Seen(
        gate=block.name,
        groups=tuple(expert.group for expert in seen),
        width=(graph.widths.get(seen[0].node) or 0) if seen else 0,
        selector=None if static or stream is None else width_of(graph, stream) or 0,
        domain=graph.spec.domain(domain.name) if domain else None,
        settings=tuple(getattr(graph.nodes[expert.node].block, "settings", None) for expert in seen),
        excludes=graph.spec.domain(rule.domain) if rule and not rule.after_softmax else None,
    )
