"""What happened to the weights of a model that starts from those of another one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    node: str = ""
    """The node that owns it, if it is known."""

    @property
    def said(self) -> bool:
        """Whether a report names it: it was not simply kept."""
        return self.how != "kept" or bool(self.why)

    @property
    def together(self) -> tuple[str, str, str]:
        """Equal for weights that one line can report: of one node, and nothing more to say than what happened."""
        alone = bool(self.why or self.columns) or self.how == "grown" or not self.node
        inside = self.weight.removeprefix(self.node)
        return (self.how, self.weight if alone else self.node, self.source.removesuffix(inside))


@dataclass(frozen=True, slots=True)
class Migration:
    """A model of the new spec that starts from old weights, and what happened to each weight."""

    model: Compiled
    changes: tuple[Change, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old name -> new name of blocks that started anew, but whose settings suggest that they were only renamed."""

    def counts(self) -> dict[How, int]:
        """How many weights were kept, moved, grown, new and dropped."""
        found = Counter(change.how for change in self.changes)
        order: tuple[How, ...] = ("kept", "moved", "grown", "new", "dropped")
        return {how: found[how] for how in order}

    def text(self) -> str:
        """The counts, a line for the weights of each node that are not simply kept, and what looks renamed."""
        counts = ", ".join(f"{count} {how}" for how, count in self.counts().items())
        groups = groupby((change for change in self.changes if change.said), lambda change: change.together)
        lines = [f"  {_line([*group])}" for _, group in groups]
        if self.renamed:
            pairs = " ".join(f"--moved {old}={new}" for old, new in self.renamed.items())
            names = ", ".join(f"`{old}` to `{new}`" for old, new in self.renamed.items())
            lines.append(f"  renamed? {names}: {pairs} keeps the weights")
        return "\n".join([f"weights: {counts}", *lines])


def _line(changes: Sequence[Change]) -> str:
    """What happened to a weight, or to several of one node."""
    first, *others = changes
    if others:
        _, node, before = first.together
        was = f", was {before}" if before else ""
        return f"{first.how:<7} {node}{was}: {len(changes)} weights"
    rows = f", {first.kept:,} of {first.rows:,} rows" if first.how == "grown" else ""
    if first.columns:
        rows += f", {first.kept_columns:,} of {first.columns:,} columns"
    source = f", was {first.source}" if first.source else ""
    return f"{first.how:<7} {first.weight}{source}{rows}" + (f": {first.why}" if first.why else "")
