"""Counts the values of each label in the training rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.labels import Labels
from archspec.diagnostics import Diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.data.encoder import Columns, Encoder
    from archspec.data.requirements import ColumnRequirement
    from archspec.data.values import Mask
    from archspec.diagnostics import Diagnostic

_LISTED: Final = 12
"""The most classes that are listed one by one."""


@dataclass(slots=True)
class LabelCount:
    """The rows of one column of labels in its tasks' sample space."""

    requirement: ColumnRequirement
    encoding: Labels
    rows: int = 0
    unlabeled: int = 0
    """Rows of the sample space without a label."""
    classes: Counter[int] = field(default_factory=Counter)
    low: float = np.inf
    high: float = -np.inf

    def add(self, labels: np.ndarray) -> None:
        """Counts the labels of some rows in the sample space."""
        known = labels >= 0 if self.encoding.index else ~np.isnan(labels)
        self.unlabeled += int((~known).sum())
        labels = labels[known]
        self.rows += len(labels)
        if not len(labels):
            return
        self.low, self.high = min(self.low, float(labels.min())), max(self.high, float(labels.max()))
        if self.encoding.high is not None and not self.encoding.soft:
            found, counts = np.unique(labels, return_counts=True)
            self.classes.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

    def text(self) -> str:
        """The counts in words: "0 in 134 rows, 1 in 133"."""
        if not self.rows:
            return "no row"
        if not self.classes:
            return f"{self.low:g} to {self.high:g} in {self.rows:,} rows"
        listed = [f"{self.named(label)} in {count:,}" for label, count in sorted(self.classes.items())]
        more = f", and {len(listed) - _LISTED} more classes" if len(listed) > _LISTED else ""
        return ", ".join(listed[:_LISTED]) + more

    def named(self, label: float) -> str:
        """The original value of a class, or its number."""
        values = self.encoding.values
        return f"`{values[int(label)]}`" if values else f"{label:g}"

    @property
    def readers(self) -> str:
        """The tasks that learn it."""
        return " and ".join(f"`{task}`" for task in self.requirement.tasks)


class LabelCounts:
    """The counts of all columns of labels."""

    def __init__(self, encoder: Encoder) -> None:
        self.columns = {
            name: LabelCount(requirement, encoding)
            for name, requirement in encoder.requirements.items()
            if isinstance(encoding := encoder.encodings[name], Labels)
        }

    def add(self, columns: Columns, rows: Mask) -> None:
        """Counts some rows of a chunk."""
        for name, count in self.columns.items():
            space = count.requirement.space
            inside = rows if space is None else rows & (columns[space] == 1)
            count.add(columns[name][inside])

    def warnings(self) -> tuple[Diagnostic, ...]:
        """Warnings about what cannot be learned: labels with only one value, and classes without rows."""
        diagnostics = Diagnostics()
        for name, count in self.columns.items():
            _warn(diagnostics, name, count)
        return tuple(diagnostics.items)

    def texts(self) -> Iterator[str]:
        """A line for each column."""
        for name, count in self.columns.items():
            space = "" if count.requirement.space is None else " of the sample space"
            masked = f"; {count.unlabeled:,} rows{space} have none" if count.unlabeled else ""
            yield f"label `{name}`: {count.text()}{masked}"


def _warn(diagnostics: Diagnostics, name: str, count: LabelCount) -> None:
    if not count.rows:
        diagnostics.warning(
            "AS724", f"no row to train on has the label `{name}`: {count.readers} cannot be learned",
            help="check the column, and the `when` of its task",
        )  # fmt: skip
    elif count.low == count.high:
        diagnostics.warning(
            "AS724", f"the label `{name}` is {count.named(count.low)} in all {count.rows:,} rows to train on: "
            f"{count.readers} cannot be learned, and a binary task has no AUC",
            help="check the column, and the rows that `--bad skip` or `when` leave out",
        )  # fmt: skip
    if count.unlabeled and not count.requirement.masked:
        diagnostics.warning(
            "AS724", f"{count.unlabeled:,} rows to train on have no label `{name}`; the loss of {count.readers} must "
            "ignore them", help="or write `missing_labels: mask` in the task",
        )  # fmt: skip
    empty = [number for number in range(count.encoding.high or 0) if number not in count.classes]
    if count.encoding.index and count.classes and empty[:1] == [0] and len(count.classes) > 1:
        diagnostics.warning(
            "AS724", f"the label `{name}` has no row of {count.named(0)}, the first of {count.encoding.high} classes",
            help=f"classes count from 0: `--encode {name}=classes` numbers the values in the column",
        )  # fmt: skip
