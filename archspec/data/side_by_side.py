"""Columns of lists that belong together: the columns of one list of events, and the weights of their ids."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from archspec.data.items import kept
from archspec.data.values import lists

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from archspec.data.items import ListForm
    from archspec.data.values import Array, Mask
    from archspec.graph.graph import Graph, Stream
    from archspec.program.nodes import NodeName


def events(graph: Graph, columns: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Column -> all columns of the same events: those whose tokens are concatenated or added in some stream.

    Args:
        graph: the graph.
        columns: input -> its column.
    """
    found: dict[str, tuple[str, ...]] = {}
    for stream in graph.streams.values():
        read = tuple(dict.fromkeys(columns[name] for name in _inputs(graph, stream)))
        joined = tuple(dict.fromkeys(column for name in read for column in found.get(name, (name,))))
        found |= dict.fromkeys(joined, joined)
    return {column: others for column, others in found.items() if len(others) > 1}


def _inputs(graph: Graph, stream: Stream) -> Iterator[str]:
    """The inputs whose tokens are in a stream, also through blocks that keep the tokens' positions."""
    for node, _ in stream.nodes():
        if node not in graph.tokens:
            continue
        if node.section == "inputs":
            yield node.name
        else:
            yield from _behind(graph, node)


def _behind(graph: Graph, node: NodeName) -> Iterator[str]:
    source = graph.streams.get((node, "from"))
    if source is not None:
        yield from _inputs(graph, source)


@dataclass(frozen=True, slots=True)
class Lists:
    """The lists of a column, with all items.

    `items` are those of all rows, missing where they are padding; those of row i begin at `offsets[i]` and end before
    `offsets[i + 1]`. `keep` are the items that are read.
    """

    offsets: NDArray[np.int64]
    items: Array
    keep: Mask

    @classmethod
    def of(cls, form: ListForm, array: Array) -> Lists:
        """The lists of a column, in which everything except padding is read."""
        offsets, items, none = form.marked(array)
        return cls(offsets, items, ~none)

    def array(self) -> Array:
        """The items that are read, as lists."""
        return kept(self.offsets, self.items, self.keep)

    def counts(self, *, all_items: bool) -> NDArray[np.int64]:
        """How many items each row has, in total or read."""
        places = self.offsets if all_items else np.concatenate([[0], np.cumsum(self.keep)])[self.offsets]
        return np.diff(places)

    def unbroken(self) -> Mask:
        """In which rows all padding is at the ends, not between items."""
        before = np.concatenate([[False], self.keep[:-1]])[: len(self.keep)]
        before[self.offsets[:-1][self.offsets[:-1] < len(before)]] = False
        begun = np.concatenate([[0], np.cumsum(self.keep & ~before)])[self.offsets]
        one: Mask = np.diff(begun) <= 1
        return one


def aligned(columns: Sequence[Lists]) -> tuple[tuple[Lists, ...], tuple[Mask, ...]]:
    """The columns of the same events with one item per event, and which rows of each fit those of the first column.

    An event is left out if no column has an item for it; an item that only some columns lack keeps its place and is
    missing. Columns that are padded differently at their ends fit if they have the same number of real items.
    """
    first = columns[0]
    alike = np.all([column.counts(all_items=True) == first.counts(all_items=True) for column in columns], axis=0)
    real, whole = first.counts(all_items=False), np.all([column.unbroken() for column in columns], axis=0)
    fits = tuple(alike | (whole & (column.counts(all_items=False) == real)) | (column is first) for column in columns)
    row = np.repeat(np.arange(len(alike)), np.diff(first.offsets))
    place = np.arange(len(row)) - first.offsets[row]
    row, place = row[alike[row]], place[alike[row]]
    there = np.any([column.keep[column.offsets[row] + place] for column in columns], axis=0)
    found = []
    for column in columns:
        keep = column.keep.copy()
        keep[column.offsets[row] + place] = there
        found.append(replace(column, keep=keep))
    return tuple(found), fits


def amounts(beside: Lists, array: Array) -> tuple[Array, Mask]:
    """The weights `[N]` of the items that are read, and which rows have one for each item.

    Args:
        beside: the lists of these items.
        array: lists with one number for each item, or for each item that is read.
    """
    starts, values = lists(array)
    counts, given, read = beside.counts(all_items=True), np.diff(starts), beside.counts(all_items=False)
    padded = (given == counts) & (given != read)
    row = np.repeat(np.arange(len(given)), given)
    keep = ~padded[row]
    places = (beside.offsets[:-1] - starts[:-1])[row] + np.arange(len(row))
    keep[padded[row]] = beside.keep[places[padded[row]]]
    return kept(starts, values, keep), padded | (given == read)
