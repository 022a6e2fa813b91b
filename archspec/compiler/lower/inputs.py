"""Lowers inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.spec.spec import Block

if TYPE_CHECKING:
    from archspec.compiler.lower.streams import Streams
    from archspec.graph.graph import Node
    from archspec.program import Scope


def lower_input(streams: Streams, node: Node, at: Scope) -> None:
    """The stream of an input, if it has one and something reads it."""
    assert isinstance(node.block, Block)
    column = streams.column(node.block.name)
    if streams.graph.widths[node.name] and node.name in streams.stream_readers:
        value = streams.made(node, at, column, streams.inputs)
        streams.streams[node.name] = streams.builder.hint(value, node.block.name)
