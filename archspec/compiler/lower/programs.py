"""The programs of a model: from a batch to logits, and from logits to scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archspec.compiler.lower.experts import lower_block, lower_expert
from archspec.compiler.lower.feature_gates import lower_feature_gate
from archspec.compiler.lower.fusion import lower_fusion
from archspec.compiler.lower.gates import lower_gate
from archspec.compiler.lower.inputs import lower_input
from archspec.compiler.lower.scores import lower_scores
from archspec.compiler.lower.streams import Streams
from archspec.compiler.lower.towers import lower_tower
from archspec.compiler.passes.dead_operations import dead_operations
from archspec.compiler.plugin_modules import missing_function
from archspec.compiler.size import check_size
from archspec.diagnostics import SpecError
from archspec.graph.calls import wrong_result
from archspec.program import Program, Scope, verify
from archspec.program.verify import illegal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archspec.diagnostics import Diagnostic
    from archspec.graph.graph import Graph, Node
    from archspec.program.columns import Column
    from archspec.program.program import Dim

LOWER: Mapping[str, Callable[[Streams, Node, Scope], None]] = {
    "input": lower_input,
    "feature_gate": lower_feature_gate,
    "expert": lower_expert,
    "gate": lower_gate,
    "tower": lower_tower,
    "fusion": lower_fusion,
}
"""Category of a node -> the function that lowers it; others use `lower_block`, and tasks have no operations."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """The programs of a model: `forward` from batch to logits, `predict` from logits (and batch) to scores."""

    forward: Program
    predict: Program
    columns: Mapping[str, tuple[str, Column]]
    """Input -> its key in the batch, and its column."""
    findings: tuple[Diagnostic, ...] = ()
    """Warnings about the size of the weights."""

    def of_batch(self) -> list[tuple[str, str, tuple[Dim, ...], int, int | None]]:
        """Each column of a batch once, as `random_batch` takes it: key, type, shape, lowest id, first id too high."""
        return [(key, c.dtype, c.shape, c.low, c.high) for key, c in dict(self.columns.values()).items()]


def lower(graph: Graph) -> Lowered:
    """The plain program of a checked graph, which defines the meaning of the spec, without values that nothing needs.

    Raises:
        SpecError: AS210 or AS502: a kind raises an error, or its operations are not what it declared; AS221: the
            weights are too large for any machine.
    """
    streams = Streams(graph)
    for name in graph.order:
        node = graph.nodes[name]
        if node.category != "task":
            lower_node = LOWER.get(node.category, lower_block)
            lower_node(streams.at(node), node, Scope(streams.builder, node.name, node.like))
    program = dead_operations(_legal(streams.builder.program(), graph)).program
    scores = _legal(lower_scores(graph, streams.outputs), graph)
    return Lowered(program, scores, streams.columns, check_size(program, graph))


def _legal(program: Program, graph: Graph) -> Program:
    """The program, if it is legal; otherwise raises SpecError AS502 about the kind with the illegal operation."""
    for op in program.ops:
        if op.kind == "apply" and (node := graph.nodes.get(op.node.node)) and (problem := missing_function(op)):
            raise SpecError([wrong_result(node, f"applies {problem}")])
    try:
        return verify(program)
    except AssertionError:
        for op, wrong in illegal(program):
            if node := graph.nodes.get(op.node.node):
                raise SpecError([wrong_result(node, f"adds an illegal operation: {wrong}")]) from None
        raise
