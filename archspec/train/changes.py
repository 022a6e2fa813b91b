"""What happened to the weights of a model that starts from those of another one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from archspec.nn.module import Compiled

How = Literal["kept", "moved", "grown", "new", "dropped"]
"""`kept` and `moved` are copied; `grown` has new rows or columns beside copied ones; `new` keeps its initial values."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one weight of the new model or, if it was dropped, of the old one."""

    weight: str
    how: How
    source: str = ""
    """The old weight, if it has another name."""
    kept: int = 0
    """How many rows were copied; all if the weight was copied whole."""
    rows: int = 0
    """How many rows it has."""
    why: str = ""
    kept_columns: int = 0
    """How many columns were copied, if they are not all and the only ones."""
    columns: int = 0
    """How many columns it has; 0: as many as before, in the same order."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A model of the new spec that starts from old weights, and what happened to each weight."""

    model: Compiled
    changes: tuple[Change, ...]

    def counts(self) -> dict[How, int]:
        """How many weights were kept, moved, grown, new and dropped."""
        found = Counter(change.how for change in self.changes)
        order: tuple[How, ...] = ("kept", "moved", "grown", "new", "dropped")
        return {how: found[how] for how in order}

    def text(self) -> str:
        """The counts, and a line for each weight that is not simply kept."""
        counts = ", ".join(f"{count} {how}" for how, count in self.counts().items())
        return "\n".join([f"weights: {counts}", *(f"  {_line(c)}" for c in self.changes if c.how != "kept" or c.why)])


def _line(change: Change) -> str:
    rows = f", {change.kept:,} of {change.rows:,} rows" if change.how == "grown" else ""
    if change.columns:
        rows += f", {change.kept_columns:,} of {change.columns:,} columns"
    source = f", was {change.source}" if change.source else ""
    return f"{change.how:<7} {change.weight}{source}{rows}" + (f": {change.why}" if change.why else "")
