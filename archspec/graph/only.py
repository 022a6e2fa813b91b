"""The part of a graph that some outputs need, as a smaller spec whose weights keep their canonical names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archspec.diagnostics import Diagnostics, suggest
from archspec.graph.load import load_graph
from archspec.program.nodes import NodeName
from archspec.program.order import reached
from archspec.spec.spec import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.graph.graph import Graph


def only(graph: Graph, outputs: Sequence[str]) -> Graph:
    """The graph of a spec with only the nodes that some outputs need; all nodes keep their names.

    Outputs that others are computed from stay, such as the click rate of a product. The spec is for scoring: its tasks
    have the default losses of their kinds, and the balance is `sum`.

    Args:
        graph: a checked graph.
        outputs: names of tasks, towers or fusions.

    Raises:
        SpecError: AS812: there is no output with a name.
    """
    spec = graph.spec
    found = [NodeName(section, name) for name in outputs for section in ("towers", "fusion")]
    starts = [name for name in found if name in graph.nodes]
    _check(graph, outputs)
    needed = reached(starts, lambda name: [edge.source for edge in graph.into(name) if edge.role != "loss"]).keys()
    data: dict[str, Any] = spec.data()
    for section in ("towers", "fusion"):
        data[section] = {
            name: block for name, block in data.get(section, {}).items() if NodeName(section, name) in needed
        }
    data["tasks"] = {
        name: {**task, "loss": dict(spec.tasks[name].settings.default_loss())}
        for name, task in data["tasks"].items()
        if name in data["towers"] or name in data["fusion"]
    }
    if not data["tasks"]:  # a spec needs a task: each remaining tower becomes a task for its output
        kinds = {name: tower.pop("output", None) or "binary" for name, tower in data["towers"].items()}
        data["tasks"] = {name: {"kind": kind} for name, kind in kinds.items()}
    data["balance"] = "sum"
    smaller = load_graph(written({key: value for key, value in data.items() if value}) + "\n", None, spec.registry)
    levels = list(smaller.spec.levels)
    while levels and not levels[-1].experts:
        del levels[-1]
    smaller.spec = replace(smaller.spec, levels=tuple(levels)).saying(())
    return smaller


def _check(graph: Graph, outputs: Sequence[str]) -> None:
    problems = Diagnostics()
    known = [*graph.spec.towers, *graph.spec.fusion]
    for name in outputs:
        if name not in known:
            near = suggest(name, known)
            problems.error(
                "AS812", f"`{graph.spec.name}` has no output `{name}`",
                help=f"did you mean `{near}`? " * bool(near) + f"outputs: {', '.join(known)}",
            )  # fmt: skip
    problems.raise_errors(status=2)
