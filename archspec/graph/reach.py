"""Which task's loss has a gradient where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.graph.graph import INDEX_ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.graph.graph import Graph


def reach(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Node -> the tasks whose loss has a gradient there: reachability against the edges, stopped by `detach`."""
    tasks = tuple(graph.spec.tasks)
    bit = {f"tasks.{task}": 1 << index for index, task in enumerate(tasks)}
    found = {name: bit.get(name, 0) for name in graph.nodes}
    for name in reversed(graph.order):
        for edge in graph.into(name):
            if not edge.detached and edge.role not in INDEX_ROLES:
                found[edge.source] |= found[name]
    everything = (1 << len(tasks)) - 1
    names = {
        mask: tasks if mask == everything else tuple(tasks[index] for index in _bits(mask))
        for mask in set(found.values())
    }
    return {name: names[mask] for name, mask in found.items()}


def _bits(mask: int) -> Iterator[int]:
    """The places of the ones, lowest first: most nodes belong to one of many tasks."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
