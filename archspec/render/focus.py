"""Highlights part of a figure: what a task needs, what its loss trains, or a node with its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from archspec.diagnostics import suggest, unusable

if TYPE_CHECKING:
    from collections.abc import Iterable

    import networkx as nx

    from archspec.render.scene import Item, Scene

FADED: Final = "0.16"
"""The opacity of everything else."""


@dataclass(frozen=True)
class Front:
    """Highlighted nodes; `near`: only lines that join them with these; `flow`: only lines with a gradient."""

    nodes: frozenset[str]
    near: frozenset[str]
    flow: bool = False


def in_front(graph: nx.MultiDiGraph[str], focus: str | None, trained_by: str | None) -> Front | None:
    """What is highlighted; None: everything.

    Raises:
        SpecError: AS607 for a name that the graph does not have.
    """
    if trained_by is not None:
        _known(trained_by, graph.graph["tasks"], "task")
        found = {name for name, node in graph.nodes(data=True) if trained_by in node["tasks"]}
        return Front(frozenset(found), frozenset(found), flow=True)
    if focus is None:
        return None
    what, _, name = focus.partition("=")
    if what == "task":
        import networkx as nx

        _known(name, graph.graph["tasks"], "task")
        needed = frozenset({f"tasks.{name}", *nx.ancestors(graph, f"tasks.{name}")})
        return Front(needed, needed)
    if what not in {"gate", "node"}:
        unusable("AS607", f"`{focus}` is not a part of a figure", help="write `task=NAME` or `node=NAME`, such as "
                 "`task=ctr`, `node=level1.gates.ctr`")  # fmt: skip
    members = _members(graph, name)
    around = {*members, *(tail for one in members for tail in graph.predecessors(one))}
    around |= {head for one in members for head in graph.successors(one)}
    return Front(frozenset(around), frozenset(members))


def _members(graph: nx.MultiDiGraph[str], name: str) -> set[str]:
    """A node, or the experts of a group."""
    members = {other for other in graph if other == name or (other.rpartition(".")[0] == name)}
    if not members:
        _known(name, [*graph, *(other.rpartition(".")[0] for other in graph)], "node")
    return members


def _known(name: str, known: Iterable[str], what: str) -> None:
    names = [str(one) for one in known]
    if name not in names:
        meant = suggest(name, names)
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")  # noqa: PLR2004
        unusable("AS607", f"the figure has no {what} `{name}`",
                 help=f"did you mean `{meant}`?" if meant else f"{what}s here: {listed}")  # fmt: skip


def faded(scene: Scene, front: Front) -> Scene:
    """The scene with everything else faded."""
    return replace(scene, items=tuple(item if _is_front(item, front) else _fade(item) for item in scene.items))


def _is_front(item: Item, front: Front) -> bool:
    if item.what.startswith("node"):
        return not front.nodes.isdisjoint(item.data["data-members"].split() or [item.data["data-node"]])
    if not item.what.startswith("wire"):
        return True
    if front.flow and "data-detached" in item.data:
        return False
    tails, heads = item.data["data-tails"].split(), item.data["data-heads"].split()
    joined = not front.nodes.isdisjoint(tails) and not front.nodes.isdisjoint(heads)
    return joined and not front.near.isdisjoint((*tails, *heads))


def _fade(item: Item) -> Item:
    return replace(item, data={**item.data, "opacity": FADED})
