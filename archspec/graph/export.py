"""The graph as networkx: what `archspec.build_graph` hands out and the renderer draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.graph.load import graph_of
from archspec.spec.spec import Block, Spec, Switch

if TYPE_CHECKING:
    from networkx import DiGraph

    from archspec.graph.graph import Graph, Node


def build_graph(spec: Spec) -> DiGraph[str]:
    """The checked graph of a spec.

    Nodes are canonical names with the attributes `category, kind, level, width, tasks` (the tasks whose loss reaches
    the node), and `owner, group, index, case, title, detail` for drawing; edges have `roles` and `detached`. The graph
    itself has `name, about, tasks, levels, digest`.
    """
    from networkx import DiGraph

    graph = graph_of(spec)
    exported: DiGraph[str] = DiGraph(
        name=spec.name, about=spec.about, tasks=tuple(spec.tasks), levels=len(spec.levels), digest=spec.digest
    )
    for name, node in graph.nodes.items():
        exported.add_node(name, **_attributes(graph, node))
    for (source, target), (roles, detached) in _merged(graph).items():
        exported.add_edge(source, target, roles=roles, detached=detached)
    return exported


def _attributes(graph: Graph, node: Node) -> dict[str, Any]:
    return {
        "category": node.category,
        "kind": node.kind,
        "level": node.level,
        "width": graph.widths[node.name],
        "tasks": graph.tasks[node.name],
        "owner": node.owner,
        "group": node.group,
        "index": node.index,
        "case": node.case,
        "title": _title(node),
        "detail": _detail(graph, node),
    }


def _title(node: Node) -> str:
    name = node.block.name
    match node.category:
        case "tower":
            return f"{node.case} tower" if node.case else f"{name} tower"
        case "task" | "input":
            return name
        case "feature_gate":
            return name
        case _:
            title: str = getattr(node.block.settings, "title", "") if isinstance(node.block, Block) else ""
            return title or node.kind


def _detail(graph: Graph, node: Node) -> str:
    if isinstance(node.block, Switch):
        return f"switch by {node.block.switch}"
    if not isinstance(node.block, Block):
        return node.kind
    detail: str = node.block.settings.detail()
    if node.category == "tower":
        task = graph.spec.tasks.get(node.name.split(".")[1])
        head = str((task.task.classes if task else None) or 1)
        return f"{detail}, {head}" if detail else head
    return detail


def _merged(graph: Graph) -> dict[tuple[str, str], tuple[tuple[str, ...], bool]]:
    merged: dict[tuple[str, str], tuple[tuple[str, ...], bool]] = {}
    for edge in graph.edges:
        roles, detached = merged.get((edge.source, edge.target), ((), True))
        merged[edge.source, edge.target] = (tuple(dict.fromkeys((*roles, edge.role))), detached and edge.detached)
    return merged
