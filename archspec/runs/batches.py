"""The batches of a run: of single rows, or of whole groups of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.data.batches import ROWS_AT_ONCE, Epochs, OrderedBatches, ShuffledBatches
from archspec.data.groups import GroupedBatches, OrderedGroups
from archspec.data.requirements import groups_of_losses
from archspec.diagnostics import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.data.rows import Rows
    from archspec.graph.graph import Graph
    from archspec.runs.recipe import Recipe


def training_batches(rows: Rows, recipe: Recipe, together: str | None) -> Epochs:
    """The batches to train on; `together` is the column of `rows` whose groups are kept whole, if there is one."""
    if together is None:
        return ShuffledBatches(rows, recipe.batch, recipe.seed)
    return GroupedBatches(rows, together, recipe.batch, recipe.seed)


def validation_batches(
    graph: Graph, rows: Rows, recipe: Recipe, together: str | None
) -> OrderedBatches | OrderedGroups:
    """The batches to validate on, as `training_batches`; large ones, unless losses compare all rows of a group.

    The memory of these losses is quadratic in the rows of a batch, and with whole groups small batches lose no pair.
    """
    size = max(recipe.batch, ROWS_AT_ONCE)
    if together is None:
        return OrderedBatches(rows, size)
    return OrderedGroups(rows, together, recipe.batch if groups_of_losses(graph) else size)


def scattered_groups(graph: Graph, together: str | None) -> Iterator[Diagnostic]:
    """A warning if losses compare the rows of groups, and batches keep none of these groups whole."""
    readers = groups_of_losses(graph)
    if not readers or together in readers:
        return
    column, reader = next(iter(readers.items()))
    yield Diagnostic(
        "AS751", f"{reader} compares rows with the same `{column}`, but rows are shuffled one by one, so that few of "
        "these are in one batch", help=f"add `--together {column}`, which keeps them in one batch",
        severity="warning",
    )  # fmt: skip
