"""The categories: the keys that all blocks of one have, and the base class of its kinds, with the methods called on it.

Inputs are in `input_kinds`; tasks, losses and balances in `training_kinds`.

A kind derives from the base class of its category and overrides methods; those with a default are optional. Shapes: `B`
batch, `D` input width, `E` experts, `H` expert width, `T` tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from archspec.contract.exclude import Exclude, Only
from archspec.contract.input_kinds import InputKind
from archspec.contract.kind import Kind
from archspec.contract.limits import MOST_EXPERTS
from archspec.contract.reference import Reference
from archspec.contract.sees import Sees
from archspec.contract.settings import Finite, KindError, Settings, Width, added
from archspec.contract.training_kinds import BalanceKind, LossKind, TaskKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from archspec.program import GateInputs, Part, Rows, Scope, Seen, TrainedGate, Value

Read = Any
"""The width of what an expert reads, `D`; for a kind that takes fields, a tuple with the width of each field."""
Given = Any
"""What an expert reads, a `Value`; for a kind that takes fields, a tuple with the `Value` of each field."""

Category = Literal["input", "expert", "gate", "feature_gate", "tower", "fusion", "task", "loss", "balance"]
"""The categories of kinds."""

CATEGORIES: tuple[Category, ...] = get_args(Category)


Source = Annotated[Reference | None, Field(alias="from")]


def _group_name(value: object) -> object:
    if not isinstance(value, str):
        raise KindError("takes the name of an expert group or block", help="write `like: NAME`, or leave it out")
    return value


class ExpertCommon(Settings):
    """Keys of every expert group."""

    count: Annotated[int, Field(ge=1, le=MOST_EXPERTS)] = 1
    source: Source = None
    like: Annotated[str | None, BeforeValidator(_group_name)] = None
    """A group whose weights this one shares, with its kind, settings and count: `f`, or `level1.experts.f`."""


class BlockCommon(Settings):
    """Keys of every block."""

    source: Source = None
    like: Annotated[str | None, BeforeValidator(_group_name)] = None
    """A block whose weights this one shares, with its kind and settings."""


class ExpertKind(Kind):
    """A kind of expert, and of block: one stream to another."""

    common: ClassVar[type[Settings]] = ExpertCommon
    takes: ClassVar[Literal["rows", "fields", "tokens"]] = "rows"
    """Reads rows `[B, D]`; fields, a tuple of the parts of `from`, each `[B, width]`, or tokens `[B, T, D]`."""
    gives: ClassVar[Literal["rows", "tokens"]] = "rows"
    """Its output: rows `[B, width]`, or tokens `[B, T, width]`. Override `tokens` if this depends on the settings."""

    def width(self, input: Read) -> Width:
        """Width of the output, given the width of the input."""
        raise NotImplementedError

    def tokens(self, count: int) -> int | None:
        """T, the number of tokens of its output, given the number of tokens or fields that it reads; None: rows."""
        return count if self.gives == "tokens" else None

    def check_streams(self, input: Read, widths: Mapping[str, Width]) -> None:
        """Raises KindError if a stream that a setting names does not fit; `widths`: of the streams, by path."""

    def lower(self, at: Scope, x: Given) -> Value:
        """`[B, D] -> [B, width]`, in operations; tokens are `[B, T, ...]`, and `at.mask(x)` is their mask."""
        raise NotImplementedError

    def build(self, input: Read) -> nn.Module:
        """A module `[B, D] -> [B, width]`, for a kind without `lower`: it runs unchanged, and is never fused."""
        raise NotImplementedError

    def parameters(self, input: Read) -> int | None:
        """The number of weights of the module of `build`; None: unknown until the module is built."""
        return None

    def flops(self, input: Read) -> int | None:
        """FLOPs per row of the module of `build`, or of functions called with `at.apply`; None: unknown."""
        return None


class TowerCommon(Settings):
    """Keys of every tower."""

    source: Source = None
    output: Literal["binary", "regression"] | None = None


class TowerKind(ExpertKind):
    """A kind of tower: maps a stream to a hidden vector, and the hidden vector to logits."""

    common: ClassVar[type[Settings]] = TowerCommon

    def head(self, at: Scope, hidden: Value, outputs: int) -> Value:
        """Maps the hidden vector `[B, H]` to logits `[B, outputs]`: a linear layer `head` by default."""
        return at.linear(hidden, outputs, "head")


class GateCommon(Settings):
    """Keys of every gate."""

    sees: Sees
    selector: Reference | None = None
    transform: Literal["none", "linear"] = "none"
    residual: str | None = None
    exclude: Exclude | None = None
    """A row does not see the experts whose group has the name of its own domain."""
    only: Only | None = None
    """Of the experts whose groups are named after domains, a row sees only those of its own domain."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.exclude is not None and self.only is not None:
            raise KindError("takes `exclude` or `only`, not both", at=("only",), help="drop one of them")
        return self

    @property
    def by_domain(self) -> Exclude | None:
        """Which experts a row sees by its domain: `exclude` or `only`."""
        return self.exclude or self.only


class GateKind(Kind):
    """A kind of gate: maps a selector to the weights of the experts seen."""

    common: ClassVar[type[Settings]] = GateCommon

    selects: ClassVar[Literal["stream", "domain", "none"]] = "stream"
    """What the selector is: a stream `[B, D]`, the ids `[B]` of a domain input, or nothing."""
    adds_up: ClassVar[bool] = False
    """Whether the weights of a row add up to 1, as in a softmax."""
    excluded: ClassVar[float | None] = None
    """The logit of an expert that `exclude` or `only` excludes; None: the gate cannot exclude experts."""

    def check(self, seen: Seen) -> None:
        """Raises KindError if the settings do not fit what the gate sees."""

    def lower(self, at: Scope, gate: GateInputs) -> Value:
        """Weights `[B, E]`, or `[E]` for a static gate, in operations."""
        raise NotImplementedError

    def build(self, seen: Seen) -> nn.Module:
        """A module that maps the selector to the weights, for a kind without `lower`."""
        raise NotImplementedError

    def parameters(self, seen: Seen) -> int | None:
        """The number of weights of the module of `build`; None: unknown until the module is built."""
        return None

    def flops(self, seen: Seen) -> int | None:
        """FLOPs per row of the module of `build`, or of functions called with `at.apply`; None: unknown."""
        return None

    def values(self, at: Scope, gate: GateInputs) -> tuple[Value, ...]:
        """The values that the gate mixes, E times `[B, H]`; by default the experts that it sees."""
        return gate.experts

    def chosen(self, seen: Seen) -> int | None:
        """The largest number of nonzero weights in a row, if a weight of zero has no gradient; None: any number."""
        return None

    def entering(self, seen: Seen, trained: TrainedGate, share: float) -> dict[str, Rows] | str:
        """How to add experts to a trained gate so that they hardly change its mix until they are trained.

        Args:
            seen: what the gate sees now.
            trained: the gate as it was trained, with at least one of these experts.
            share: the largest weight that all other experts together should have.

        Returns:
            Where the rows come from, for each weight that depends on the experts seen; the others are copied. A text:
            why the kind cannot move its weights; they are then drawn again.
        """
        return "its kind cannot move its weights"


class FeatureGateCommon(Settings):
    """Keys of every feature gate."""

    source: Source = None
    selector: Reference | None = None
    squeeze: Literal["none", "mean"] = added("none")
    """`mean`: the gate's network reads the mean of each field of the selector (SENet)."""
    per: Literal["field", "element"] = "field"
    scale: Finite | Literal["fields"] = 1.0


class FeatureGateKind(Kind):
    """A kind of feature gate: maps a selector to factors for fields or elements."""

    common: ClassVar[type[Settings]] = FeatureGateCommon

    adds_up: ClassVar[bool] = False
    """Whether the factors of a row add up to 1, as in a softmax."""

    def lower(self, at: Scope, selector: Value, count: int) -> Value:
        """`[B, D] -> [B, count]`, in operations."""
        raise NotImplementedError

    def build(self, selector: Width, count: int) -> nn.Module:
        """A module `[B, D] -> [B, count]`, for a kind without `lower`."""
        raise NotImplementedError

    def parameters(self, selector: Width, count: int) -> int | None:
        """The number of weights of the module of `build`; None: unknown until the module is built."""
        return None

    def flops(self, selector: Width, count: int) -> int | None:
        """FLOPs per row of the module of `build`, or of functions called with `at.apply`; None: unknown."""
        return None


class FusionKind(Kind):
    """A kind of fusion: computes a score from the outputs that its setting `of` names, or a term of the loss."""

    logit_as_part: ClassVar[bool] = False
    """Whether a fusion that combines this one receives its logit, if all its parts are probabilities."""

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """The score `[B]`."""
        raise NotImplementedError

    def logits(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """The logit of the score, `[B]`; only a kind with this method can be a binary task."""
        raise NotImplementedError

    def excess(self, probabilities: frozenset[str]) -> tuple[str, str] | None:
        """The part that may move the score outside 0..1, and how; None if the score is a probability.

        Args:
            probabilities: the parts that are probabilities themselves.
        """
        return None

    def auxiliary(self, at: Scope, parts: tuple[Part, ...]) -> None:
        """Adds to the loss with `at.auxiliary_loss`."""


BASES: Mapping[Category, type[Kind]] = {
    "input": InputKind,
    "expert": ExpertKind,
    "gate": GateKind,
    "feature_gate": FeatureGateKind,
    "tower": TowerKind,
    "fusion": FusionKind,
    "task": TaskKind,
    "loss": LossKind,
    "balance": BalanceKind,
}
"""The base class of each category."""


NEEDED: Mapping[Category, tuple[tuple[str, ...], ...]] = {
    "input": (("width",), ("column",), ("lower",)),
    "expert": (("width",), ("lower", "build")),
    "gate": (("lower", "build"),),
    "feature_gate": (("lower", "build"),),
    "tower": (("width",), ("lower", "build")),
    "fusion": (("lower", "auxiliary"),),
    "task": (("default_loss",),),
    "loss": (("rows", "joint", "within"),),
    "balance": (("build",),),
}
"""The methods that a kind of each category must override: one from each tuple."""
