"""Lowers feature gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.contract import FeatureGateKind, overrides
from archspec.graph.calls import checked_call
from archspec.graph.graph import Stream
from archspec.graph.widths import width_of
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from archspec.compiler.lower.streams import Streams
    from archspec.graph.graph import Node
    from archspec.program import Scope, Value


def lower_feature_gate(streams: Streams, node: Node, at: Scope) -> None:
    """The feature gate's stream: its fields or elements, scaled."""
    streams.streams[node.name] = streams.builder.hint(_scaled(streams, node, at), node.block.name)


def _selector(streams: Streams, node: Node, at: Scope) -> Value:
    """What the gate's network reads: the selector, or the mean of each of its fields."""
    selector = streams.source(node, at, "selector")
    assert isinstance(node.block, Block)
    if node.block.common.squeeze == "none":
        return selector
    leaves = streams.graph.streams[node.name, "selector"].leaves()
    widths = tuple(width_of(streams.graph, Stream("concat", (leaf,))) or 0 for leaf in leaves)
    return at.apply("field_means", selector, shape=("B", len(widths)), widths=widths)


def _scaled(streams: Streams, node: Node, at: Scope) -> Value:
    """Factors times fields, or times elements."""
    block, stream = node.block, streams.graph.streams[node.name, "from"]
    assert isinstance(block, Block)
    fields = list(streams.fields(stream, at))
    per_field = block.common.per == "field"
    count = len(fields) if per_field else sum(field.width for field in fields)
    scale = float(len(fields)) if block.common.scale == "fields" else block.common.scale
    selector = _selector(streams, node, at)
    if overrides(block.settings, FeatureGateKind.lower):
        said = f"scales {count} {'fields' if per_field else 'elements'}"
        factors = checked_call(node, "lower", at, selector, count, said=said, shapes=[("B", count)])
    else:
        factors = streams.opaque(node, at, (selector.width, count), [selector], ("B", count))
    factors = streams.builder.hint(at.scale(factors, scale), f"{block.name}_factors")
    if not per_field:
        return at.product(streams.concat(fields, at), factors)
    return at.concat(*(at.product(field, at.slice(factors, i, i + 1)) for i, field in enumerate(fields)))
