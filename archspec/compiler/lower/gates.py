"""Lowers gates: weights from the gate's kind, then the mix of the experts it sees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from archspec.contract import GateKind, overrides
from archspec.graph.calls import call, checked_call
from archspec.graph.widths import seen_by
from archspec.program import GateInputs
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from archspec.compiler.lower.streams import Streams
    from archspec.contract.exclude import Exclude
    from archspec.graph.graph import Node
    from archspec.program import Scope, Value


def lower_gate(streams: Streams, node: Node, at: Scope) -> None:
    """The gate's stream, and its weights as an output."""
    streams.streams[node.name] = streams.builder.hint(_mixed(streams, node, at), node.block.name)


def _mixed(streams: Streams, node: Node, at: Scope) -> Value:
    """Weights from the gate's kind, then the mix of the experts seen."""
    block, seen = node.block, streams.graph.seen[node.name]
    assert isinstance(block, Block)
    experts = tuple(_expert(streams, expert.node, at, detached=expert.detached) for expert in seen)
    rule = block.common.by_domain
    allowed = _allowed(streams, node, rule, at) if rule and not rule.after_softmax else None
    names = tuple(expert.node for expert in seen)
    gate = GateInputs(seen_by(streams.graph, node), _selector(streams, node, at), experts, allowed, names)
    said = f"sees {len(experts)} experts of width {gate.seen.width}"
    if overrides(block.settings, GateKind.lower):
        shapes = [("B", len(experts)), (len(experts),)]
        weights = checked_call(node, "lower", at, gate, said=said, shapes=shapes)
    else:
        given = [value for value in (gate.selector, gate.allowed) if value is not None]
        shape = ("B", len(experts)) if given else (len(experts),)
        surroundings = replace(gate.seen, settings=())  # a built file cannot contain the settings
        weights = streams.opaque(node, at, (surroundings,), given, shape)
    if rule and rule.after_softmax:
        weights = at.product(weights, _allowed(streams, node, rule, at, "float"))
    streams.builder.hint(weights, f"{block.name}_weights")
    tokens = streams.graph.tokens.get(node.name)
    shapes = [("B", gate.seen.width) if tokens is None else ("B", tokens, gate.seen.width)]
    experts = checked_call(node, "values", at, gate, said=said, shapes=shapes, each=len(experts))
    if block.common.transform == "linear":
        experts = tuple(
            streams.masked(at.linear(e, e.width, f"transform.{i}", bias=False), [e], at) for i, e in enumerate(experts)
        )
    chosen = call(node, "chosen", gate.seen)
    mixed = streams.masked(at.mix(weights, experts, chosen=chosen), experts, at)
    rows = (
        weights if weights.batch_axis is not None else at.apply("rows_like", weights, mixed, shape=("B", len(experts)))
    )
    streams.builder.output("gates", node.name, rows)
    residual = block.common.residual
    if residual is None:
        return mixed
    other = streams.streams[node.name.sibling(residual)]
    return streams.masked(at.sum(mixed, other), [mixed, other], at)


def _expert(streams: Streams, name: str, at: Scope, *, detached: bool) -> Value:
    """An expert as a gate sees it."""
    key = ("detach", (name,))
    if detached and key not in streams.combined:
        source = streams.streams[name]
        streams.combined[key] = streams.masked(at.detach(source), [source], at)
    return streams.combined[key] if detached else streams.streams[name]


def _selector(streams: Streams, node: Node, at: Scope) -> Value | None:
    """The selector of a gate: a stream, a domain's ids, or None."""
    domain = next((edge.source for edge in streams.graph.into(node.name, "domain")), None)
    if domain is not None:
        return streams.column(domain.name)
    return streams.source(node, at, "selector") if (node.name, "selector") in streams.graph.streams else None


def _allowed(streams: Streams, node: Node, rule: Exclude, at: Scope, dtype: Literal["float", "bool"] = "bool") -> Value:
    """`[B, E]`: False, or 0, where a row does not see an expert because of its domain."""
    groups = [expert.group for expert in streams.graph.seen[node.name]]
    values, number = streams.domain(rule.domain), float if dtype == "float" else bool
    table = at.constant([[number(rule.shows(group, value, values)) for group in groups] for value in values], dtype)
    return at.lookup(streams.column(rule.domain), table)
