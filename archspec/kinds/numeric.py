"""Embeddings of numbers: one number per row becomes a vector."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import pi
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from archspec.contract import InputKind, KindError, Width, input
from archspec.contract.limits import LONGEST_ROW
from archspec.contract.settings import Count, Finite, Positive
from archspec.program.columns import Column
from archspec.program.program import Init

if TYPE_CHECKING:
    from archspec.program import Scope, Value

Inputs = Mapping[str, InputKind]

OWN: Mapping[str, str] = {
    "metas": "autodis", "skip": "autodis", "temperature": "autodis", "frequencies": "periodic", "sigma": "periodic",
}  # fmt: skip
"""Setting -> the embedding that it belongs to."""


@input("numeric")
class Numeric(InputKind):
    """One number per row, `[B]` or `[B, 1]`, as a vector of `dim` numbers: a linear map, or one of three embeddings."""

    paper: ClassVar[str] = "AutoDis (2012.08986); periodic: On Embeddings for Numerical Features (2203.05556)"
    formula: ClassVar[str] = (
        "linear: w x + b; autodis: M softmax((W h + skip h) / temperature), h = leaky_relu(w x); "
        "buckets: table[number of boundaries <= x]; periodic: relu(W [cos(2 pi c x), sin(2 pi c x)] + b)"
    )

    dim: Count
    """Width of the vector."""
    embedding: Literal["linear", "autodis", "buckets", "periodic"] = "linear"
    """How the number becomes a vector."""
    boundaries: Annotated[tuple[Finite, ...], Field(max_length=LONGEST_ROW)] | None = None
    """`buckets`: the limits between buckets, ascending; a number equal to a limit belongs to the bucket above it."""
    metas: Count = 20
    """`autodis`: number of meta-embeddings, H in the paper."""
    skip: Finite = 0.1
    """`autodis`: weight of the skip connection, alpha in the paper."""
    temperature: Positive = 1.0
    """`autodis`: temperature of the softmax."""
    frequencies: Count = 16
    """`periodic`: number of the learned frequencies c."""
    sigma: Positive = 0.01
    """`periodic`: standard deviation of the initial frequencies."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if (self.embedding == "buckets") != bool(self.boundaries):
            if self.boundaries is None or self.embedding == "buckets":
                raise KindError(
                    "`embedding: buckets` needs `boundaries`", at=("embedding",), help="add `boundaries: [0, 10, 100]`"
                )
            raise KindError(
                f"`boundaries` belong to `embedding: buckets`, not to `{self.embedding}`", at=("boundaries",),
                help="write `embedding: buckets`, or drop `boundaries`",
            )  # fmt: skip
        for index, (low, high) in enumerate(pairwise(self.boundaries or ()), start=1):
            if low >= high:
                raise KindError(
                    f"`boundaries` must ascend: {high:g} follows {low:g}", at=("boundaries", index), help="sort them"
                )
        return self

    def width(self, inputs: Inputs) -> Width:
        """`dim`."""
        return self.dim

    def column(self, inputs: Inputs) -> Column:
        """Floats `[B, 1]`."""
        return Column("float", ("B", 1))

    def lower(self, at: Scope, column: Value, inputs: Inputs) -> Value:
        """`[B, 1] -> [B, dim]`."""
        match self.embedding:
            case "linear":
                return at.linear(column, self.dim, "linear")
            case "autodis":
                return self._autodis(at, column)
            case "buckets":
                return self._buckets(at, column)
            case "periodic":
                return self._periodic(at, column)

    def _autodis(self, at: Scope, x: Value) -> Value:
        h = at.activation(at.linear(x, self.metas, "project", bias=False), "leaky_relu")
        logits = at.sum(at.linear(h, self.metas, "mix", bias=False), at.scale(h, self.skip))
        return at.linear(at.softmax(at.scale(logits, 1 / self.temperature)), self.dim, "metas", bias=False)

    def _buckets(self, at: Scope, x: Value) -> Value:
        limits = self.boundaries or ()
        ids = at.op("apply", (x, at.constant([limits])), ("B",), name="bucket", dtype="int", function="bucket")
        return at.embed(ids, at.weight("weight", (len(limits) + 1, self.dim), Init("normal", 1.0)), self.dim)

    def _periodic(self, at: Scope, x: Value) -> Value:
        weight = at.weight("frequencies", (self.frequencies, 1), Init("normal", self.sigma))
        turns = at.op("linear", (x,), ("B", self.frequencies), weights=(weight,), name="frequencies")
        phases = at.scale(turns, 2 * pi)
        waves = at.concat(at.activation(phases, "cos"), at.activation(phases, "sin"))
        return at.activation(at.linear(waves, self.dim, "linear"), "relu")

    def idle(self) -> dict[tuple[str | int, ...], str]:
        """Settings that belong to another embedding."""
        return {
            (key,): f"it belongs to `embedding: {own}`, and the embedding is `{self.embedding}`"
            for key, own in OWN.items()
            if own != self.embedding
        }

    def detail(self) -> str:
        """Embedding and width."""
        return f"{self.embedding} {self.dim}"
