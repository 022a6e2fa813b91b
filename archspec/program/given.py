"""What kinds receive in addition to values: what a gate sees and reads, and the outputs that a fusion combines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from archspec.contract import Settings
    from archspec.program.program import Value


@dataclass(frozen=True, slots=True)
class Seen:
    """What a gate sees, for checks by its kind, before anything is built."""

    gate: str
    """The gate's name."""
    groups: tuple[str, ...]
    """The expert group of each expert seen, in order; its length is E."""
    width: int
    """H: width of each expert."""
    selector: int | None = None
    """Width of the selector, None for a static gate."""
    domain: tuple[str, ...] | None = None
    """Values of the selector, if it is a domain input."""
    excludes: tuple[str, ...] | None = None
    """Values of the domain input of `exclude` or `only`, where the kind leaves experts out itself: before a softmax."""
    settings: tuple[Settings | None, ...] = ()
    """The settings of each expert seen, in order; None if they are unknown because of a mistake."""

    @property
    def count(self) -> int:
        """E: experts seen."""
        return len(self.groups)


@dataclass(frozen=True, slots=True)
class TrainedGate:
    """A trained gate whose weights move to a gate that sees other experts, or sees them in another order."""

    settings: Settings
    """Its settings: of another kind, if the spec changed it."""
    seen: Seen
    """What it saw."""
    places: tuple[int, ...]
    """For each expert that the new gate sees: its place among those that the trained gate saw, or -1 if it is added."""

    @property
    def known(self) -> int:
        """How many experts of the new gate the trained one saw."""
        return sum(place >= 0 for place in self.places)


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows of one weight of a gate come from if weights of a trained gate move to it."""

    start: Literal["mean", "zero", "min"] = "zero"
    """What an added row starts from: the mean or the smallest number, over the trained rows that move, or zero."""
    shift: float = 0.0
    """A number that is added to it."""
    rows: tuple[int, ...] | None = None
    """The trained row for each row, -1 for an added one; None: the rows are those of the experts seen."""
    why: str = ""
    """Why added experts start with more than little weight; empty if they do not."""


@dataclass(frozen=True, slots=True)
class GateInputs:
    """The inputs of a gate's `lower`: selector `[B, D]` (ids `[B]` of a domain), experts E times `[B, H]`."""

    seen: Seen
    selector: Value | None
    experts: tuple[Value, ...]
    allowed: Value | None = None
    """`[B, E]` bool, False where `exclude` or `only` excludes the expert."""
    names: tuple[str, ...] = ()
    """The canonical name of each expert seen: `at.weights_of(name)` returns its weights."""


@dataclass(frozen=True, slots=True)
class Part:
    """One output that a fusion combines: `logits` `[B]` are logits (binary) or values (regression, another fusion)."""

    name: str
    output: Literal["binary", "regression", "multiclass"]
    logits: Value
