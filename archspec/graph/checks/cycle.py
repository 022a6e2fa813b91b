"""Reports cycles: every reference that is part of one, first the one that reads from above."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from archspec.diagnostics import Diagnostics, Note, Span
from archspec.spec.tree import Mapping, Node, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.graph.graph import Edge, Graph

_MOST_SHOWN = 12
"""The most nodes of a cycle that a message lists."""
_SETTINGS = {"case": "cases"}


def report_cycle(graph: Graph, cycle: list[str], diagnostics: Diagnostics) -> None:
    """Reports one cycle, given as its nodes with the first one again at the end, in either direction."""
    edges = _edges(graph, cycle) or _edges(graph, cycle[::-1])
    place = {name: index for index, name in enumerate(graph.nodes)}

    def blame(index: int) -> tuple[int, int]:
        source, target = graph.nodes[edges[index].source], graph.nodes[edges[index].target]
        return (target.level - source.level, place[target.name])

    first = min(range(len(edges)), key=blame)
    edges = [*edges[first:], *edges[:first]]
    target = graph.nodes[edges[0].target]
    names: list[str] = [edges[0].source, *(edge.target for edge in edges)]
    names = names if len(names) <= _MOST_SHOWN else [*names[: _MOST_SHOWN - 1], "...", names[-1]]
    path = " -> ".join(names)
    message = f"{target.what} reads itself" if len(edges) == 1 else f"these form a cycle: {path}"
    notes = [
        Note(f"{graph.nodes[e.target].what} reads {graph.nodes[e.source].what}", _span(graph, e))
        for e in edges[1:_MOST_SHOWN]
    ]
    diagnostics.error(
        "AS208",
        message,
        _span(graph, edges[0]),
        label=f"reads {graph.nodes[edges[0].source].what}" if len(edges) > 1 else "",
        notes=[*target.block.provenance, *notes],
        help="drop one of these references" if notes else "drop this reference",
    )


def _edges(graph: Graph, cycle: list[str]) -> list[Edge]:
    """The edges along the nodes; empty if the nodes are in the opposite direction."""
    found = [
        next((edge for edge in graph.into(target) if edge.source == source), None) for source, target in pairwise(cycle)
    ]
    edges = [edge for edge in found if edge is not None]
    return edges if len(edges) == len(found) else []


def _span(graph: Graph, edge: Edge) -> Span:
    """The place of the name that an edge represents, else of the setting that contains it, else of the block."""
    block = graph.nodes[edge.target].block
    node: Node | None = block.node
    for step in _SETTINGS.get(edge.role, edge.role).split("."):
        node = node.get(step) if isinstance(node, Mapping) else None
    if node is None:
        return block.place
    return next((leaf.span for leaf in _leaves(node) if _names(leaf.value, edge.source)), node.span)


def _leaves(node: Node) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
    for inner in node.items if isinstance(node, Sequence) else ():
        yield from _leaves(inner)
    for entry in node.entries if isinstance(node, Mapping) else ():
        yield Scalar(entry.key, entry.key_span)
        yield from _leaves(entry.node)


def _names(text: object, source: str) -> bool:
    """Whether a written name means a node: `ctr` means `level1.gates.ctr`, `shared` means `level1.experts.shared.0`."""
    return isinstance(text, str) and bool(text) and f".{source}.".find(f".{text}.") >= 0
