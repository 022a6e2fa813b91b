"""Lowers experts, and other blocks that turn one stream into another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archspec.compiler.lower.streams import Streams
    from archspec.graph.graph import Node
    from archspec.program import Scope


def lower_expert(streams: Streams, node: Node, at: Scope) -> None:
    """The expert's stream: the result of its kind on its input."""
    value = streams.made(node, at, streams.read_by(node, at))
    streams.streams[node.name] = streams.builder.hint(value, f"{node.group}_{node.index}")


def lower_block(streams: Streams, node: Node, at: Scope) -> None:
    """The stream of a block: the result of its kind on its input."""
    value = streams.made(node, at, streams.read_by(node, at))
    streams.streams[node.name] = streams.builder.hint(value, node.block.name)
