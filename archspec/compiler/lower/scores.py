"""Lowers scores: the probability or value of every output, and the fusions that are not a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.compiler.lower.columns import Columns
from archspec.compiler.lower.fusion import prediction, score_of
from archspec.contract import FusionKind, overrides
from archspec.program import Part, Scope
from archspec.program.nodes import NodeName
from archspec.spec.spec import Block

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec.graph.graph import Graph
    from archspec.program import Program, Value


def lower_scores(graph: Graph, outputs: Mapping[str, Part]) -> Program:
    """The program from logits (and the batch) to scores."""
    columns = Columns(graph)
    made: dict[str, Part] = {}
    for name, part in outputs.items():
        at = Scope(columns.builder, NodeName("scores", name))
        logits = at.op("column", (), part.logits.shape, name="logits", key=name, source="logits")
        made[name] = Part(name, part.output, columns.builder.hint(logits, f"{name}_logit"))
        task = graph.spec.tasks.get(name)
        score = _score(at, made[name]) if task is None else prediction(at, task.settings, made[name])
        if part.output == "regression":
            made[name] = Part(name, part.output, score)
        columns.builder.output("scores", name, columns.builder.hint(score, f"{name}_score"))
    for name in (name for name in graph.order if name.section == "fusion"):
        node, block = graph.nodes[name], graph.nodes[name].block
        assert isinstance(block, Block)
        if block.name not in made and overrides(block.settings, FusionKind.lower):
            parts = tuple(made[part] for part in block.settings.of)
            score = score_of(node, Scope(columns.builder, NodeName("scores", block.name)), parts)
            made[block.name] = Part(block.name, "regression", columns.builder.hint(score, f"{block.name}_score"))
            columns.builder.output("scores", block.name, score)
    return columns.builder.program()


def _score(at: Scope, part: Part) -> Value:
    """The probability or value of an output that is no task."""
    return at.activation(part.logits, "sigmoid") if part.output == "binary" else part.logits
