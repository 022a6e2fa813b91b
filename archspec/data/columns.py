"""The table of columns: what each contains, how it is encoded and why, and which values are missing."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from archspec.data.encodings import Vocabulary
from archspec.data.labels import inside
from archspec.diagnostics import Diagnostic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archspec.data.encoder import Columns, Encoder
    from archspec.data.prepare import Source
    from archspec.data.requirements import ColumnRequirement
    from archspec.data.survey import Learned
    from archspec.data.tables import Chunk
    from archspec.data.values import Mask

_MANY: Final = 0.1
"""A larger share of unknown values than this is a warning."""


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """One column: what reads it, what it contains, its encoding in words, and the reason for it."""

    column: str
    reader: str
    holds: str
    encoding: str
    why: str
    missing: float
    """Share of rows without a value; for a label, among the rows of its tasks' sample space."""
    unknown: float | None
    """Share of the values of validation rows that are not in its vocabulary; None without a vocabulary."""


class Tally:
    """Counts rows without a value, and values that are not in a vocabulary, while rows are encoded."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.missing: Counter[str] = Counter()
        self.counted: Counter[str] = Counter()
        """Rows of each column; for a label, those of its sample space."""
        self.unknown: Counter[str] = Counter()
        self.values: Counter[str] = Counter()

    def add(self, chunk: Chunk, columns: Columns, held_out: Mask) -> None:
        """Counts the rows of a chunk; a missing value does not count as unknown."""
        for name, encoding in self.encoder.encodings.items():
            absent = encoding.absent(chunk.columns[name])
            space = self.encoder.requirements[name].space
            rows = np.ones(chunk.rows, dtype=np.bool_) if space is None else inside(chunk.columns[space])
            self.counted[name] += int(rows.sum())
            self.missing[name] += int((absent & rows).sum())
            if isinstance(encoding, Vocabulary):
                ids = columns[name][held_out & ~absent]
                self.unknown[name] += int((ids == 0).sum())
                self.values[name] += int((ids >= 0).sum())

    def _lists(self, requirement: ColumnRequirement, learned: Learned) -> str:
        """How the lists of a column are read; empty if it has none."""
        if not requirement.several:
            return ""
        width, longest = self.encoder.widths[requirement.column], learned.longest.get(requirement.column, 0)
        cut = f"the last {width:,} of up to {longest:,} items" if longest > width else ""
        return "; ".join(filter(None, (self.encoder.forms[requirement.column].text(), cut)))

    def reports(self, learned: Learned) -> tuple[ColumnReport, ...]:
        """A report for each column, in the order in which the spec reads them."""
        return tuple(
            ColumnReport(
                name, requirement.reader, learned.found[name], encoding.text(),
                "; ".join(filter(None, (learned.why[name], self._lists(requirement, learned)))),
                self.missing[name] / max(self.counted[name], 1),
                self.unknown[name] / max(self.values[name], 1) if isinstance(encoding, Vocabulary) else None,
            )
            for name, requirement, encoding in (
                (name, self.encoder.requirements[name], encoding) for name, encoding in self.encoder.encodings.items()
            )
        )  # fmt: skip


def many_unknown(reports: Iterable[ColumnReport], source: Source) -> tuple[Diagnostic, ...]:
    """A warning for each column with many unknown values in validation rows."""
    where = "in validation rows are not in its vocabulary"
    advice = (
        "check that they are written as in the files to train on, or train on rows with these values"
        if source.validation
        else "train on more rows, or hold out fewer with a smaller `--split`"
    )
    return tuple(
        Diagnostic(
            "AS714",
            f"{report.unknown:.1%} of the values of column `{report.column}` {where}",
            help=f"they all share id 0; {advice}",
            severity="warning",
        )
        for report in reports
        if report.unknown is not None and report.unknown > _MANY
    )


def as_text(reports: Iterable[ColumnReport]) -> str:
    """The table as JSON."""
    return json.dumps([asdict(report) for report in reports], indent=1, ensure_ascii=False) + "\n"
