"""The outputs of towers and fusions (probabilities, values or classes), and which fusions can be a binary task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from archspec.contract import FusionKind, overrides
from archspec.diagnostics import Note
from archspec.graph.calls import call
from archspec.program.nodes import NodeName
from archspec.spec.spec import Switch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.graph.graph import Graph, Node


def output_of(graph: Graph, name: str) -> Literal["binary", "regression", "multiclass"]:
    """The kind of output of a tower or fusion."""
    spec = graph.spec
    if name in spec.tasks:
        return spec.tasks[name].settings.output
    if name in spec.fusion:
        return "regression"
    tower: Any = spec.towers[name]
    output = tower.output if isinstance(tower, Switch) else tower.common.output
    return output or "binary"


def excess(graph: Graph, node: Node) -> tuple[str, str] | None:
    """The part that may move a fusion's score outside 0..1, and how; None if the score is a probability.

    Raises:
        SpecError: AS210 or AS502: the kind's method fails.
    """
    kind: Any = node.block.settings  # type: ignore[union-attr] # a fusion is no task
    if not overrides(kind, FusionKind.excess) and not overrides(kind, FusionKind.logits):
        return "", f"of kind `{node.kind}` is not a probability"
    parts = frozenset(part for part in kind.of if _is_probability(graph, part))
    found: tuple[str, str] | None = call(node, "excess", parts)
    return found


def why(graph: Graph, part: str) -> Iterator[Note]:
    """Why a part is not a probability, if it is itself a fusion, down to the first part that is not one."""
    node = graph.nodes.get(NodeName("fusion", part))
    if node is None or part in graph.spec.tasks:
        return
    found = excess(graph, node)
    if found is not None:
        yield Note(f"fusion `{part}` {found[1]}", node.block.place)
        yield from why(graph, found[0])


def _is_probability(graph: Graph, name: str) -> bool:
    """Whether an output is in 0..1; an unknown or wrong one is reported elsewhere, and counts as a probability."""
    spec = graph.spec
    if name in spec.tasks:
        return spec.tasks[name].settings.output == "binary"
    if name in spec.fusion:
        return spec.fusion[name].settings is None or excess(graph, graph.nodes[NodeName("fusion", name)]) is None
    tower = spec.towers.get(name)
    known = isinstance(tower, Switch) or (tower is not None and tower.common is not None)
    return not known or output_of(graph, name) == "binary"
