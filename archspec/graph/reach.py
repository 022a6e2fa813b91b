"""Which tasks' losses have a gradient at which nodes, and which weights tasks share."""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING

from archspec.graph.graph import INDEX_ROLES
from archspec.program.nodes import NodeName
from archspec.program.order import reached

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from archspec.graph.graph import Edge, Graph


_BITS = bytes.maketrans(b"01", b"\0\1")


def reach(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Node -> the tasks whose loss has a gradient there: reachability along reversed edges, stopped by `detach`.

    Experts that share weights are treated as one: each has the tasks of all of them.
    """
    found = _below_tasks(graph, _has_gradient)
    for owner, users in graph.users().items():
        together = 0
        for name in users:
            together |= found[name]
        found.update(dict.fromkeys([*users, *([owner] if owner in found else [])], together))
    return _named(found, graph)


def needed_by(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Node -> the tasks whose scores are computed from it; what only their losses read does not count."""
    return _named(_below_tasks(graph, lambda edge: edge.target.section != "tasks" or edge.role == "output"), graph)


def _below_tasks(graph: Graph, follows: Callable[[Edge], bool]) -> dict[str, int]:
    """Node -> the tasks to which it leads along the edges that are followed, as bits."""
    bit: dict[str, int] = {NodeName("tasks", task): 1 << index for index, task in enumerate(graph.spec.tasks)}
    found = {name: bit.get(name, 0) for name in graph.nodes}
    for name in reversed(graph.order):
        for edge in graph.into(name):
            if follows(edge):
                found[edge.source] |= found[name]
    return found


def _named(found: Mapping[str, int], graph: Graph) -> dict[str, tuple[str, ...]]:
    """The tasks of each node, by name, in the spec's order."""
    tasks = tuple(graph.spec.tasks)
    everything = (1 << len(tasks)) - 1
    names = {
        mask: tasks if mask == everything else tuple(compress(tasks, bin(mask)[:1:-1].encode().translate(_BITS)))
        for mask in set(found.values())
    }
    return {name: names[mask] for name, mask in found.items()}


def _has_gradient(edge: Edge) -> bool:
    """Whether the gradient of the target flows back along an edge."""
    return not edge.detached and edge.role not in INDEX_ROLES


def trained_by(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Node -> the tasks whose loss reaches its weights, in the spec's order; a shared table counts all its readers.

    No task trains a frozen table, nor an input that reads one.
    """
    found = {name: set(tasks) for name, tasks in graph.tasks.items()}
    for name, block in graph.spec.inputs.items():
        table = block.settings.shared_table() if block.settings is not None else None
        if table is not None and (reader := NodeName("inputs", name)) in found:
            found.setdefault(NodeName("inputs", table), set()).update(found[reader])
    for name, block in graph.spec.inputs.items():
        owner = graph.spec.inputs.get(block.settings.shared_table() or name) if block.settings is not None else None
        if owner is not None and owner.settings is not None and owner.settings.frozen_table():
            found[NodeName("inputs", name)] = set()
    return {name: tuple(task for task in graph.spec.tasks if task in tasks) for name, tasks in found.items()}


def last_nodes(graph: Graph, holders: Collection[str]) -> set[str]:
    """The nodes with weights, except gates, that the most tasks train, with no such node above them."""
    tasks = trained_by(graph)
    able = {name for name in holders if graph.nodes[name].category != "gate"}
    most = max((len(tasks[node]) for node in able), default=0)
    widest = {node for node in able if len(tasks[node]) == most > 1}
    users: dict[str, list[NodeName]] = {name: names for names in graph.users().values() for name in names}
    sharing = {node: users.get(node, [graph.nodes[node].name]) for node in widest}

    def read(name: NodeName) -> list[NodeName]:
        return [edge.source for edge in graph.into(name) if _has_gradient(edge)]

    below = reached((source for names in sharing.values() for name in names for source in read(name)), read)
    return {node for node, names in sharing.items() if not below.keys() >= set(names)}
