"""What the page knows of a spec: its nodes with their settings and costs, its edges, its tasks, its text.

`facts` returns plain data, which the page embeds as JSON: `name, about, digest, tasks`; `nodes`, canonical name ->
`category, kind, about, formula, tasks, width, parameters, flops, settings, file, line, last`; `edges`, a list of
`[tail, head, role, detached]`; `source`, the lines of each file by its name; `gates`, canonical name -> `[expert, mean,
deviation]` for each expert that it sees, if a run is shown.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.compiler.summary import summarize
from archspec.graph.export import build_graph

if TYPE_CHECKING:
    from collections.abc import Iterable

    import networkx as nx

    from archspec.diagnostics import Span
    from archspec.graph.graph import Graph, Node
    from archspec.train.gates import GateStatistics

MOST_LINES = 2000
"""The largest number of lines of a file that the page shows."""


def facts(graph: Graph, gates: Iterable[GateStatistics] = ()) -> dict[str, Any]:
    """Everything that the page shows beside the figure.

    Args:
        graph: the checked graph.
        gates: mean gate weights of a run.
    """
    drawn, counted = build_graph(graph.spec), summarize(graph)
    costs = {str(node.node): node for node in counted.nodes}
    nodes = {str(name): _node(node, drawn.nodes[name], costs.get(str(name))) for name, node in graph.nodes.items()}
    return {
        "name": graph.spec.name, "about": graph.spec.about, "digest": graph.spec.digest,
        "tasks": list(graph.spec.tasks), "nodes": nodes, "edges": list(_edges(drawn)),
        "source": _sources(nodes), "parameters": counted.total.parameters, "flops": counted.total.flops,
        "gates": {
            gate.gate: [list(row) for row in zip(gate.experts, gate.means, gate.deviations, strict=True)]
            for gate in gates
        },
    }  # fmt: skip


def _node(node: Node, drawn: dict[str, Any], cost: Any) -> dict[str, Any]:  # noqa: ANN401 - a NodeSummary or None
    block = node.block
    kind: Any = getattr(block, "settings", None)
    span: Span = block.node.span
    return {
        "category": node.category, "kind": node.kind, "what": node.what, "tasks": list(drawn["tasks"]),
        "about": (inspect.getdoc(type(kind)) or "").partition("\n")[0] if kind is not None else "",
        "formula": kind.formula if kind is not None else "", "paper": kind.paper if kind is not None else "",
        "width": drawn["width"], "tokens": drawn["tokens"], "settings": drawn["settings"], "changed": drawn["changed"],
        "parameters": cost.parameters if cost else None, "flops": cost.flops if cost else None,
        "file": block.place.file, "line": block.place.line, "last": max(block.place.line, _last(span, block.place)),
    }  # fmt: skip


def _last(span: Span, place: Span) -> int:
    """The last line of a block: that of its value, if it is in the same file below its name."""
    return span.end_line - (span.end_column == 1) if span.file == place.file and span.line >= place.line else place.line


def _edges(drawn: nx.MultiDiGraph[str]) -> Iterable[list[Any]]:
    for tail, head, data in drawn.edges(data=True):
        yield [tail, head, data["role"], bool(data["detached"])]


def _sources(nodes: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The files that the nodes come from, as lines; one that cannot be read again is left out."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(node["file"] for node in nodes.values()):
        try:
            lines = Path(name).read_text(encoding="utf-8", errors="replace").splitlines()
        except (OSError, ValueError):  # a text, or standard input
            continue
        found[name] = lines[:MOST_LINES]
    return found
