"""Metrics of a trained model on other rows, over all of them and by the values of a column."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from archspec.data.batches import ROWS_AT_ONCE, encoded_chunks
from archspec.data.faults import Faults
from archspec.data.requirements import ColumnRequirement
from archspec.data.rows import as_batch
from archspec.data.values import texts
from archspec.diagnostics import unusable
from archspec.lightning.measures import Measures
from archspec.train.criterion import MultiTaskLoss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from archspec.data.batches import EncodedChunk
    from archspec.data.encodings import Encoding
    from archspec.data.faults import Bad
    from archspec.data.tables import Table
    from archspec.diagnostics import Diagnostic
    from archspec.runs.trained import Trained

_GROUPS: Final = 1000
"""The largest number of groups: each keeps the scores of its rows."""
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


def evaluate(
    run: Trained, tables: tuple[Table, ...], *, by: str | None = None, bad: Bad = "stop",
    progress: Callable[[str, int], None] = lambda _, __: None,
) -> Evaluation:  # fmt: skip
    """Measures a run on tables with labels, as its own validation did.

    Args:
        run: the run.
        tables: the rows; they need the columns of labels, too.
        by: a column whose values group rows; each group is also measured alone.
        bad: for rows with a value that does not fit: `stop` at the first file chunk with one, or `skip` them.
        progress: called after each chunk with the stage and the number of rows that are done.

    Raises:
        SpecError: files that cannot be read, columns that are missing or of a wrong type, values that do not fit, or
            more than a thousand groups (AS804).
    """
    work = _Work(run)
    faults, skipped = Faults(), 0
    further = {} if by is None else {by: ColumnRequirement(by, "key", "`--by`")}
    for encoded in encoded_chunks(tables, run.encoder, further):
        faults.add(encoded.faults)
        if bad == "stop":
            faults.report(bad, scoring=True)
        skipped += int((~encoded.good).sum())
        work.add(encoded, by)
        progress("measuring", work.whole.rows + skipped)
    groups = {value: _measured(measures, work.criterion) for value, measures in _ordered(work.groups)}
    return Evaluation(_measured(work.whole, work.criterion), groups, skipped, faults.report(bad, scoring=True))


class _Rows:
    """The metrics over some rows, and their number."""

    def __init__(self, run: Trained) -> None:
        self.rows = 0
        self.measures = Measures(run.graph.spec, run.groups)

    def add(self, logits: Mapping[str, Tensor], batch: Mapping[str, Tensor], criterion: MultiTaskLoss) -> None:
        """Adds a batch."""
        self.rows += len(next(iter(batch.values())))
        self.measures.add(logits, batch, {}, criterion)


class _Work:
    """The metrics while rows are read."""

    def __init__(self, run: Trained) -> None:
        self.run = run
        self.criterion = MultiTaskLoss(run.model).eval()
        self.criterion.check_labels = False  # the encoder has checked them
        self.whole = _Rows(run)
        self.groups: dict[str | None, _Rows] = {}

    @torch.no_grad()
    def add(self, encoded: EncodedChunk, by: str | None) -> None:
        """Adds the rows of a chunk that fit."""
        good = np.flatnonzero(encoded.good)
        values = None if by is None else _values(encoded, by, self.run.encoder.encodings.get(by))
        for start in range(0, len(good), ROWS_AT_ONCE):
            rows = good[start : start + ROWS_AT_ONCE]
            batch = as_batch(encoded.columns, rows)
            logits = self.run.model(batch)
            self.whole.add(logits, batch, self.criterion)
            if values is None:
                continue
            names, places = values
            for place in np.unique(places[rows]):
                chosen = torch.from_numpy(np.flatnonzero(places[rows] == place))
                group = self._group(names[place])
                group.add(_rows_of(logits, chosen), _rows_of(batch, chosen), self.criterion)

    def _group(self, value: str | None) -> _Rows:
        if value not in self.groups and len(self.groups) == _GROUPS:
            unusable(
                "AS804", f"the column to group by has more than {_GROUPS:,} values",
                help="name a column with fewer values; a run trained with `--grouped-by` measures AUC within any group",
            )  # fmt: skip
        return self.groups.setdefault(value, _Rows(self.run))


def _values(encoded: EncodedChunk, by: str, encoding: Encoding | None) -> tuple[list[str | None], NDArray[np.int64]]:
    """The distinct values of a column, and the place of each row's `[N]` among them.

    A column of the run is read as the run reads it: among names, `NA` is a value.
    """
    import pyarrow.compute as pc

    array = encoded.chunk.columns[by]
    coded = (texts(array) if encoding is None else encoding.texts(array)).dictionary_encode()
    names = coded.dictionary.to_pylist()
    places = pc.fill_null(coded.indices, len(names)).to_numpy(zero_copy_only=False)
    return [*names, None], places.astype(np.int64)


def _rows_of(columns: Mapping[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {name: values[rows] for name, values in columns.items()}


def _measured(rows: _Rows, criterion: MultiTaskLoss) -> Measured:
    found = rows.measures.found(criterion)
    values = {name: float(found.get(name, nan)) for name in rows.measures.names() if name != _IN_TRAINING}
    return Measured(rows.rows, {name: value if isfinite(value) else None for name, value in values.items()})


def _ordered(groups: Mapping[str | None, _Rows]) -> Iterator[tuple[str | None, _Rows]]:
    """Groups by their value, numbers by size; rows without a value last."""

    def place(value: str | None) -> tuple[bool, float, str]:
        try:
            return value is None, float(value or 0), ""
        except ValueError:
            return False, float("inf"), value or ""

    return iter(sorted(groups.items(), key=lambda item: place(item[0])))
