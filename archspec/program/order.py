"""Topological order and reachability: for nodes of a graph, and operations of a program."""

from __future__ import annotations

from graphlib import TopologicalSorter
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

T = TypeVar("T", bound="Hashable")


def in_order(sources: Mapping[T, Iterable[T]], rank: Callable[[T], Any]) -> tuple[T, ...]:
    """A topological order: sources before their readers; if there is a choice, the lowest rank first.

    Args:
        sources: every item to be ordered -> the items that it reads.
        rank: the sort key; different for different items.

    Raises:
        CycleError: `error.args[1]` lists the cycle; its first and last members are the same.
    """
    sorter = TopologicalSorter(sources)
    sorter.prepare()
    ready: list[tuple[Any, T]] = []
    found: list[T] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            heappush(ready, (rank(name), name))
        found.append(heappop(ready)[1])
        sorter.done(found[-1])
    return tuple(found)


def reached(start: Iterable[T], following: Callable[[T], Iterable[T]]) -> dict[T, None]:
    """Everything that can be reached, including the start, each once, in the order in which it is found.

    Followed from readers to sources, this is liveness: `reached(outputs, what each reads)`.
    """
    found = dict.fromkeys(start)
    queue = list(found)
    while queue:
        for other in following(queue.pop()):
            if other not in found:
                found[other] = None
                queue.append(other)
    return found
