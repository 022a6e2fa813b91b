"""An upper bound of the memory for the weights of a network, from the numbers of a spec, without lowering it."""

from __future__ import annotations

import heapq
from math import prod
from typing import TYPE_CHECKING

from archspec.contract.limits import MANY_BYTES
from archspec.contract.settings import nested
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archspec.graph.graph import Graph, Node

_BYTES = 4
"""Bytes of a number in float32."""


def may_be_heavy(graph: Graph) -> bool:
    """Whether the weights might exceed MANY_BYTES; for built-in kinds, False is certain.

    No weight of a node has more elements than the product of the two largest numbers among its settings and widths.
    A node has at most two weights per number, and one for each expert that it sees: of the width of that expert, not of
    all of them.
    """
    written: dict[int, tuple[int, ...]] = {}
    total = 0
    for node in graph.nodes.values():
        if isinstance(node.block, Block):
            if id(node.block) not in written:  # the experts of a group have one block
                written[id(node.block)] = tuple(_numbers(node.block.settings))
            total += _most_elements(graph, node, written[id(node.block)])
    return total * _BYTES > MANY_BYTES


def _most_elements(graph: Graph, node: Node, written: tuple[int, ...]) -> int:
    read = [(edge, graph.widths.get(edge.source) or 0) for edge in graph.into(node.name)]
    seen = [width for edge, width in read if edge.role == "sees"]
    tokens = max((graph.tokens.get(edge.source, 1) for edge, _ in read), default=1)
    others = sum(width for edge, width in read if edge.role != "sees")
    numbers = (*written, graph.widths.get(node.name) or 1, tokens, 1, others + max(seen, default=0))
    everything = (*numbers, others + sum(seen), len(seen))
    return _largest(everything) * 2 * len(everything) + _largest(numbers) * len(seen)


def _largest(numbers: Iterable[int]) -> int:
    """The product of the two largest numbers."""
    return prod(heapq.nlargest(2, numbers))


def _numbers(settings: object) -> Iterator[int]:
    """Every whole number among settings, and the length of every list, also of nested ones."""
    for _, value in nested(settings):
        if isinstance(value, tuple | list):
            yield len(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            yield value
