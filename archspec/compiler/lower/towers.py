"""Lowers towers and the cases of switches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.graph.calls import checked_call
from archspec.program.nodes import NodeName
from archspec.spec.spec import Block, Switch

if TYPE_CHECKING:
    from archspec.compiler.lower.streams import Streams
    from archspec.graph.graph import Node
    from archspec.program import Scope


def lower_tower(streams: Streams, node: Node, at: Scope) -> None:
    """A tower's hidden vector and head; for a switch, each row's own case."""
    name = node.name.name
    task = streams.graph.spec.tasks.get(name)
    outputs = task.settings.outputs() if task else 1
    if isinstance(node.block, Switch):
        ids = streams.column(node.block.switch)
        cases = [NodeName("towers", name, case=value) for value in streams.domain(node.block.switch)]
        head = at.select(ids, [streams.heads[case] for case in cases])
        if node.name in streams.hidden_readers:
            streams.streams[node.name] = at.select(ids, [streams.streams[case] for case in cases])
    else:
        assert isinstance(node.block, Block)
        hidden = streams.made(node, at, streams.read_by(node, at))
        streams.streams[node.name] = streams.builder.hint(hidden, f"{name}_hidden")
        said = f"needs {outputs} logit{'s' * (outputs > 1)} per row"
        head = checked_call(node, "head", at, hidden, outputs, said=said, shapes=[("B", outputs)])
    streams.heads[node.name] = head
    if node.case is None:
        logits = streams.builder.hint(head if outputs > 1 else at.squeeze(head), f"{name}_logit")
        streams.output(name, logits)
