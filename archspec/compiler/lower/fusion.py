"""Lowers fusions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.graph.calls import call, checked_call
from archspec.program import Part, Scope
from archspec.program.nodes import NodeName
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from archspec.compiler.lower.streams import Streams
    from archspec.contract import TaskKind
    from archspec.graph.graph import Node
    from archspec.program import Value


def lower_fusion(streams: Streams, node: Node, at: Scope) -> None:
    """The logit of a fusion with a task's name; `predict` computes the scores of others. Each may add to the loss."""
    block = node.block
    assert isinstance(block, Block)
    parts = tuple(_part(streams, name) for name in block.settings.of if name in streams.outputs)
    call(node, "auxiliary", at, parts)
    task = streams.graph.spec.tasks.get(block.name)
    if task is None:
        return
    parts = tuple(_part(streams, name) for name in block.settings.of)
    method = "logits" if task.settings.output == "binary" else "lower"
    streams.output(block.name, streams.builder.hint(score_of(node, at, parts, method), f"{block.name}_logit"))


def _part(streams: Streams, name: str) -> Part:
    """An output that a fusion combines: a tower's, a task's, or a score that is computed here for it."""
    if name not in streams.outputs and name not in streams.scores:
        node = streams.graph.nodes[NodeName("fusion", name)]
        assert isinstance(node.block, Block)
        parts = tuple(_part(streams, inner) for inner in node.block.settings.of)
        at = Scope(streams.builder, node.name)
        if _has_logit(node, parts):
            logit = streams.builder.hint(score_of(node, at, parts, "logits"), f"{name}_logit")
            streams.scores[name] = Part(name, "binary", logit)
        else:
            score = streams.builder.hint(score_of(node, at, parts), f"{name}_score")
            streams.scores[name] = Part(name, "regression", score)
    task = streams.graph.spec.tasks.get(name)
    if task is not None and task.settings.output == "regression" and task.settings.score and name not in streams.scores:
        at = Scope(streams.builder, NodeName("scores", name))
        score = prediction(at, task.settings, streams.outputs[name])
        streams.scores[name] = Part(name, "regression", streams.builder.hint(score, f"{name}_score"))
    return streams.scores[name] if name in streams.scores else streams.outputs[name]


def prediction(at: Scope, kind: TaskKind, part: Part) -> Value:
    """What a task predicts, `[B]`, or `[B, classes]`, from its outputs."""
    match kind.score:
        case "":
            return part.logits
        case "sigmoid":
            return at.activation(part.logits, "sigmoid")
        case "softmax":
            return at.softmax(part.logits)
        case function:
            return at.apply(function, part.logits, shape=("B",))


def _has_logit(node: Node, parts: tuple[Part, ...]) -> bool:
    """Whether a fusion is passed on as a logit, which loses nothing near 0 and 1."""
    assert isinstance(node.block, Block)
    return bool(node.block.settings.logit_as_part) and all(part.output == "binary" for part in parts)


def score_of(node: Node, at: Scope, parts: tuple[Part, ...], method: str = "lower") -> Value:
    """The result of a fusion, `[B]`."""
    score: Value = checked_call(node, method, at, parts, said="must return one number per row", shapes=[("B",)])
    return score
