"""Kinds of fusion: outputs computed from outputs: from probabilities (binary) and values (regression), each `[B]`.

A kind's `lower` gives the combined score; its `logits`, where the kind has it, gives the logit that a task trains,
computed without leaving log space.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from archspec.contract import InputName, Settings, fusion
from archspec.contract.settings import Finite, as_tuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archspec.program import Part, Scope, Value

Names = Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]
Weights = Annotated[dict[str, Finite], Field(min_length=1)]


class Times(Settings):
    """A factor from the batch: fn(input)."""

    input: InputName
    fn: Literal["identity", "log1p", "sqrt", "exp"] = "identity"


class Fusion(Settings):
    """What all built-in kinds have."""

    times: Times | None = None
    """Multiplies the score by a function of a dense input of width 1."""

    def factors(self, at: Scope) -> tuple[Value, ...]:
        """The factor from the batch, `[B]`, if there is one."""
        if self.times is None:
            return ()
        column = at.squeeze(at.column(self.times.input))
        return (column if self.times.fn == "identity" else at.activation(column, self.times.fn),)

    def timed(self, at: Scope, score: Value) -> Value:
        """The score times its factor, `[B]`."""
        return at.product(score, *self.factors(at))

    def logit(self, at: Scope, logs: Iterable[Value]) -> Value:
        """The logit of the product that has these logarithms, times the factor; kept below one where it is larger."""
        return at.apply("logit_of_log", at.sum(*logs, *(at.apply("safe_log", factor) for factor in self.factors(at))))


def probability(at: Scope, part: Part) -> Value:
    """The probability or value of a part."""
    return at.activation(part.logits, "sigmoid") if part.output == "binary" else part.logits


def log_probability(at: Scope, part: Part) -> Value:
    """Its logarithm; a value below the smallest positive float counts as that."""
    return at.activation(part.logits, "logsigmoid") if part.output == "binary" else at.apply("safe_log", part.logits)


@fusion("product")
class Product(Fusion):
    """Probabilities multiply: pCTCVR = pCTR * pCVR (ESMM, 1804.07931, eq. 1)."""

    formula: ClassVar[str] = "p = prod_k p_k; logit of pq = -log(e^-a + e^-b + e^-(a+b)) for logits a, b"
    title: ClassVar[str] = "×"
    of: Names

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the product."""
        return self.timed(at, at.product(*(probability(at, part) for part in parts)))

    def logits(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the logit of the product; finite gradients for any logits."""
        if self.times is not None or any(part.output != "binary" for part in parts):
            return self.logit(at, (log_probability(at, part) for part in parts))
        return reduce(lambda a, b: at.apply("product_logit", a, b), (part.logits for part in parts))


@fusion("sum")
class Sum(Fusion):
    """Probabilities or values add up."""

    formula: ClassVar[str] = "sum_k p_k"
    title: ClassVar[str] = "+"
    of: Names

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the sum."""
        return self.timed(at, at.sum(*(probability(at, part) for part in parts)))


@fusion("weighted_sum")
class WeightedSum(Fusion):
    """A ranking score: weights times probabilities or values."""

    formula: ClassVar[str] = "sum_k w_k p_k"
    title: ClassVar[str] = "Σ"
    of: Weights

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the weighted sum."""
        return self.timed(at, at.sum(*(at.scale(probability(at, part), self.of[part.name]) for part in parts)))


@fusion("weighted_product")
class WeightedProduct(Fusion):
    """A ranking score: powers of probabilities or values, multiplied in log space."""

    formula: ClassVar[str] = "prod_k p_k^(w_k) = exp(sum_k w_k log p_k)"
    title: ClassVar[str] = "Π"
    of: Weights

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the weighted product."""
        return self.timed(at, at.activation(at.sum(*self.logs(at, parts)), "exp"))

    def logits(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the logit of the weighted product."""
        return self.logit(at, self.logs(at, parts))

    def logs(self, at: Scope, parts: tuple[Part, ...]) -> tuple[Value, ...]:
        """The logarithms, `[B]` each, that add up to the score's."""
        return tuple(at.scale(log_probability(at, part), self.of[part.name]) for part in parts)
