"""Metrics of a trained model on other rows, over all of them and by the values of a column."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from archspec.data.batches import ROWS_AT_ONCE, encoded_chunks
from archspec.data.distinct import DistinctValues
from archspec.data.faults import Faults
from archspec.data.requirements import by_requirement
from archspec.data.rows import as_batch
from archspec.lightning.measures import CountedMeasures, GroupedMeasures
from archspec.train.criterion import MultiTaskLoss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from archspec.data.batches import EncodedChunk
    from archspec.data.faults import Bad
    from archspec.data.tables import Table
    from archspec.diagnostics import Diagnostic
    from archspec.graph.graph import Graph
    from archspec.nn.module import Compiled
    from archspec.runs.trained import Trained

_IN_TRAINING: Final = "loss"
"""The total loss of training; it depends on clocks and the balance's state, which are not among a model's weights."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics over some rows: `task_losses` and `<task>/<metric>`; None for a metric without a value."""

    rows: int
    metrics: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The metrics of a run on tables."""

    whole: Measured
    """Over all rows."""
    groups: Mapping[str | None, Measured]
    """Value of the column -> the metrics over its rows; None: rows without a value."""
    skipped: int
    """Rows with values that do not fit."""
    warnings: tuple[Diagnostic, ...]


def evaluate(  # noqa: PLR0913 - what to measure, and how
    run: Trained, tables: tuple[Table, ...], *, by: str | None = None, bad: Bad = "stop",
    progress: Callable[[str, int], None] = lambda _, __: None, share: tuple[int, int] = (0, 1),
) -> Evaluation:  # fmt: skip
    """Measures a run on tables with labels, as its own validation did.

    Args:
        run: the run.
        tables: the rows; they need the columns of labels, too.
        by: a column whose values group rows; each group is also measured alone.
        bad: for rows with a value that does not fit: `stop` at the first file chunk with one, or `skip` them.
        progress: called after each chunk with the stage and the number of rows that are done.
        share: in a process group, the number of this process, from 0, and that of all: each measures its share of the
            chunks. Every process reads all of them, so that all find the same mistakes.

    Raises:
        SpecError: files that cannot be read, columns that are missing or of a wrong type, values that do not fit, or
            more than a thousand groups (AS804).
    """
    work = Evaluator(run.model, run.graph, run.groups, run.top)
    faults, skipped, seen = Faults(), 0, 0
    further = {} if by is None else by_requirement(by)
    values = DistinctValues(None if by is None else run.encoder.encodings.get(by))
    for number, encoded in enumerate(encoded_chunks(tables, run.encoder, further)):
        faults.add(encoded.faults)
        if bad == "stop":
            faults.report(bad, scoring=True)
        skipped += int((~encoded.good).sum())
        if number % share[1] == share[0]:
            _add(work, encoded, by, values)
        seen += encoded.chunk.rows
        progress("measuring", seen)
    return Evaluation(*work.measured(values.values()), skipped, faults.report(bad, scoring=True))


class Evaluator:
    """Measures a model on batches, and each group of their rows alone.

    Args:
        model: the model, in evaluation mode.
        graph: the graph of its spec.
        grouped_by: the batch's column whose values group rows in metrics.
        top: k of the metrics within these groups.
    """

    def __init__(self, model: Compiled, graph: Graph, grouped_by: str | None, top: int) -> None:
        self.model = model
        self.device = next(model.parameters()).device
        self.criterion = MultiTaskLoss(model).eval().to(self.device)
        self.criterion.check_labels = False  # they have been checked
        self.measures = GroupedMeasures(graph.spec, grouped_by, top).to(self.device)

    @torch.no_grad()
    def add(self, batch: Mapping[str, Tensor], groups: Tensor | None) -> None:
        """Adds a batch; `groups` are the numbers of its rows' values, `[B]`."""
        batch = {name: column.to(self.device) for name, column in batch.items()}
        self.measures.add(self.model(batch), batch, groups, self.criterion)

    def measured(self, values: Sequence[str | None]) -> tuple[Measured, dict[str | None, Measured]]:
        """The metrics of all rows, and those of each value, by their numbers. Collective."""
        whole = self._of(self.measures.whole)
        return whole, dict(_ordered({value: self._of(self.measures.of(n)) for n, value in enumerate(values)}))

    def _of(self, rows: CountedMeasures) -> Measured:
        found = rows.measures.found(self.criterion)
        values = {name: float(found.get(name, nan)) for name in rows.measures.names() if name != _IN_TRAINING}
        shown = {name: value if isfinite(value) else None for name, value in values.items()}
        return Measured(int(rows.rows.compute()), shown)


def _add(work: Evaluator, encoded: EncodedChunk, by: str | None, values: DistinctValues) -> None:
    """Adds the rows of a chunk that fit."""
    good = np.flatnonzero(encoded.good)
    numbers = None if by is None else torch.from_numpy(values.numbered(encoded.chunk.columns[by].take(good)))
    for start in range(0, len(good), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        work.add(as_batch(encoded.columns, good[part]), None if numbers is None else numbers[part])


def _ordered(groups: Mapping[str | None, Measured]) -> Iterator[tuple[str | None, Measured]]:
    """Groups by their value, numbers by size; rows without a value last."""

    def place(value: str | None) -> tuple[bool, float, str]:
        try:
            return value is None, float(value or 0), ""
        except ValueError:
            return False, float("inf"), value or ""

    return iter(sorted(groups.items(), key=lambda item: place(item[0])))
