"""Equal levels, drawn once: `Levels 2-3, × 2`, as `repeat` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.program.nodes import NodeName

if TYPE_CHECKING:
    import networkx as nx

    Graph = nx.MultiDiGraph[str]

DETAILS = ("category", "kind", "title", "detail", "owner", "group", "index", "tasks", "width", "steered")
"""The attributes of a node that a figure shows; they agree in equal levels."""


def fold_levels(graph: Graph) -> Graph:
    """The graph in which each run of equal levels is one; itself if there is none.

    Levels are equal if their nodes have the same names, settings and tasks that train them, and read the same nodes
    of the level before, of their own level and of everything else. The graph's `spans` map the level that stays to
    the last one that it represents.
    """
    count = int(graph.graph.get("levels", 0))
    looks = {level: _look(graph, level) for level in range(1, count + 1)}
    spans: dict[int, int] = {}
    first = 1
    for level in range(2, count + 2):
        if level > count or looks[level] != looks[first] or _read_later(graph, level - 1):
            if level - 1 > first:
                spans[first] = level - 1
            first = level
    return _folded(graph, spans) if spans else graph


def _look(graph: Graph, level: int) -> tuple[object, ...]:
    names = [name for name, node in graph.nodes(data=True) if node["level"] == level and _has_level(name)]
    nodes = {
        _relative(name, level): (
            *(repr(graph.nodes[name][key]) for key in DETAILS),
            _settings(graph.nodes[name], level),
        )
        for name in names
    }
    edges = {
        (_relative(tail, level), _relative(head, level), data["role"], data["detached"])
        for head in names
        for tail, _, data in graph.in_edges(head, data=True)
    }
    return tuple(sorted(nodes.items())), tuple(sorted(edges))


def _settings(node: dict[str, Any], level: int) -> str:
    text = repr(sorted(node["changed"].items(), key=lambda item: item[0]))
    return text.replace(f"level{level}.", "this.").replace(f"level{level - 1}.", "before.")


def _has_level(name: str) -> bool:
    found = NodeName.parse(name)
    return found is not None and found.level > 0


def _relative(name: str, level: int) -> str:
    for word, other in (("this", level), ("before", level - 1)):
        if name.startswith(f"level{other}."):
            return f"{word}.{name.partition('.')[2]}"
    return name


def _read_later(graph: Graph, level: int) -> bool:
    """Whether a node beyond the next level reads this one."""
    return any(
        graph.nodes[head]["level"] != level + 1 or not _has_level(head)
        for name, node in graph.nodes(data=True) if node["level"] == level and _has_level(name)
        for head in graph.successors(name) if graph.nodes[head]["level"] != level
    )  # fmt: skip


def _folded(graph: Graph, spans: dict[int, int]) -> Graph:
    folded = graph.copy()
    for first, last in spans.items():
        for name in [name for name, node in graph.nodes(data=True) if node["level"] == last and _has_level(name)]:
            stays = f"level{first}.{name.partition('.')[2]}"
            for _, head, key, data in graph.out_edges(name, keys=True, data=True):
                if graph.nodes[head]["level"] != last:
                    folded.add_edge(stays, head, key=key, **data)
        gone = [
            name for name, node in graph.nodes(data=True) if first < node["level"] <= last and _has_level(name)
        ]  # fmt: skip
        folded.remove_nodes_from(gone)
    remarks = tuple(f"Levels {first} to {last} are equal and drawn once." for first, last in spans.items())
    folded.graph |= {"spans": spans, "remarks": (*graph.graph.get("remarks", ()), *remarks)}
    return folded
