"""Values that do not fit: collected over all files, and reported with file, column and row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from archspec.data.numerals import numeral
from archspec.diagnostics import Diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archspec.data.requirements import ColumnRequirement
    from archspec.diagnostics import Diagnostic

MISSING: Final = "no value"
Bad = Literal["stop", "skip"]
"""What to do about rows with values that do not fit: stop, or continue without them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Values of one column in one file that do not fit for the same reason: the first of them, and their number."""

    file: str
    requirement: ColumnRequirement
    reason: str
    words: str
    """The reason, for the first of them."""
    row: int
    """Row of the first, counted from 1 without the header line."""
    count: int
    help: str = ""
    """How to fix it; if empty, the encodings that the requirement allows."""
    legal: bool = False
    """Whether the rows are kept, with a warning."""

    def message(self) -> str:
        """The first value and its place, and how many more there are."""
        others = self.count - 1
        more = f"; {others:,} more row{'s' * (others > 1)} like this" if others else ""
        return f"`{self.file}`, column `{self.requirement.column}`, row {self.row:,}: {self.words}{more}"

    def scoring_hint(self) -> str:
        """How to fix it when a finished run encodes new rows."""
        skip = (
            '`bad="skip"` (for a command: `--bad skip`) leaves such rows out; a batch\'s `rows` are the remaining ones'
        )
        for kind, taken in (("vocabulary", "any value"), ("standard", "missing values")):
            if kind in self.requirement.choices and (kind == "vocabulary" or self.reason == MISSING):
                return f"{skip}. A run trained with `--encode {self.requirement.column}={kind}` accepts {taken}"
        return skip

    def hint(self) -> str:
        """How to fix it before training."""
        skip = "`--bad skip` leaves such rows out"
        if self.help:
            return self.help
        if self.requirement.words:
            count = len(self.requirement.words)
            numbers = f", or in all rows numbers from 0 to {count - 1}, or from 1 to {count}"
            named = any(numeral(word).removeprefix("-").isdecimal() for word in self.requirement.words)
            return f"write the names{'' if named else numbers}; {skip}"
        if "vocabulary" in self.requirement.choices:
            return f"`--encode {self.requirement.column}=vocabulary` numbers any values; {skip}"
        if "standard" in self.requirement.choices and self.reason == MISSING:
            return f"`--encode {self.requirement.column}=standard` uses the mean for missing values; {skip}"
        return skip


class Faults:
    """The faults of all files, merged by file, column and reason."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, str], Fault] = {}

    def add(self, faults: Iterable[Fault]) -> None:
        """Adds the faults of more rows."""
        for fault in faults:
            key = (fault.file, fault.requirement.column, fault.reason)
            first = self.found.get(key)
            self.found[key] = replace(first, count=first.count + fault.count) if first else fault

    def report(
        self, bad: Bad, *, scoring: bool = False, skipped: str = "these rows were left out"
    ) -> tuple[Diagnostic, ...]:
        """All of them as warnings. If bad rows stop the work, raises SpecError with all of them as errors instead.

        Args:
            bad: whether bad rows stop the work.
            scoring: whether the rows are encoded by a run that is already trained.
            skipped: what happened to bad rows that do not stop the work.
        """
        diagnostics = Diagnostics()
        for fault in self.found.values():
            if fault.legal:
                diagnostics.warning("AS723", fault.message(), help=fault.help)
            elif bad == "stop":
                diagnostics.error("AS704", fault.message(), help=fault.scoring_hint() if scoring else fault.hint())
            else:
                diagnostics.warning("AS704", fault.message(), help=skipped)
        diagnostics.raise_errors(status=2)
        return tuple(diagnostics.items)
