"""Kinds of fusion: outputs computed from the probabilities (binary) and values (regression) of others, each `[B]`.

A kind's `lower` returns the combined score; `logits`, if the kind has it, returns the logit that a task trains,
computed without leaving log space.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from archspec.contract import FusionKind, InputName, Settings, fusion
from archspec.contract.settings import Finite

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archspec.program import Part, Scope, Value

Names = Annotated[tuple[str, ...], Field(min_length=1)]
_ROUNDING = 1e-9
"""How far rounding may move a sum of weights such as 0.7 + 0.2 + 0.1 above 1."""
Weights = Annotated[dict[str, Finite], Field(min_length=1)]


class Times(Settings):
    """A factor from the batch: fn(input), a finite number for every finite input.

    log1p and sqrt are applied to max(x, 0), since lengths and counts are never negative, and exp to min(x, 80).
    """

    input: InputName
    fn: Literal["identity", "log1p", "sqrt", "exp"] = "identity"

    def factor(self, at: Scope) -> Value:
        """`[B]`: fn of the column."""
        column = at.squeeze(at.column(self.input))
        match self.fn:
            case "identity":
                return column
            case "exp":
                return at.apply("bounded_exp", column)
            case _:
                return at.activation(at.activation(column, "relu"), self.fn)


class Fusion(FusionKind):
    """Base of the built-in kinds of fusion."""

    times: Times | None = None
    """Multiplies the score by a function of a dense input of width 1."""

    def factors(self, at: Scope) -> tuple[Value, ...]:
        """The factor from the batch, `[B]`, if there is one."""
        return () if self.times is None else (self.times.factor(at),)

    def timed(self, at: Scope, score: Value) -> Value:
        """The score times its factor, `[B]`."""
        return at.product(score, *self.factors(at))

    def logit(self, at: Scope, logs: Iterable[Value]) -> Value:
        """The logit of the product of these logarithms' exponentials and the factor; the product is kept below 1."""
        return at.apply("logit_of_log", at.sum(*logs, *(at.apply("safe_log", factor) for factor in self.factors(at))))


def probability(at: Scope, part: Part) -> Value:
    """The probability or value of a part."""
    return at.activation(part.logits, "sigmoid") if part.output == "binary" else part.logits


def log_probability(at: Scope, part: Part) -> Value:
    """The logarithm of a part's probability or value, with a floor at the smallest positive float."""
    return at.activation(part.logits, "logsigmoid") if part.output == "binary" else at.apply("safe_log", part.logits)


def value_among(names: Iterable[str], probabilities: frozenset[str]) -> tuple[str, str] | None:
    """The first part that is not a probability, and a phrase for the message about it."""
    found = (name for name in names if name not in probabilities)
    return next(((name, f"combines `{name}`, which is not a probability") for name in found), None)


@fusion("product")
class Product(Fusion):
    """Multiplies probabilities: pCTCVR = pCTR * pCVR (ESMM, 1804.07931, eq. 1)."""

    formula: ClassVar[str] = "p = prod_k p_k; logit of pq = -log(e^-a + e^-b + e^-(a+b)) for logits a, b"
    title: ClassVar[str] = "×"
    of: Names

    def excess(self, probabilities: frozenset[str]) -> tuple[str, str] | None:
        """None if all parts are probabilities: then the product is one."""
        return value_among(self.of, probabilities)

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the product."""
        return self.timed(at, at.product(*(probability(at, part) for part in parts)))

    def logits(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the logit of the product, with finite gradients for any logits."""
        if self.times is not None or any(part.output != "binary" for part in parts):
            return self.logit(at, (log_probability(at, part) for part in parts))
        return reduce(lambda a, b: at.apply("product_logit", a, b), (part.logits for part in parts))


@fusion("sum")
class Sum(Fusion):
    """Adds probabilities or values."""

    formula: ClassVar[str] = "sum_k p_k"
    title: ClassVar[str] = "+"
    of: Names

    def excess(self, probabilities: frozenset[str]) -> tuple[str, str] | None:
        """A sum of several probabilities may exceed 1."""
        several = (self.of[1], "adds up probabilities, which may exceed 1") if len(self.of) > 1 else None
        return value_among(self.of, probabilities) or several

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the sum."""
        return self.timed(at, at.sum(*(probability(at, part) for part in parts)))


@fusion("weighted_sum")
class WeightedSum(Fusion):
    """A ranking score: a weighted sum of probabilities or values."""

    formula: ClassVar[str] = "sum_k w_k p_k"
    title: ClassVar[str] = "Σ"
    of: Weights

    def excess(self, probabilities: frozenset[str]) -> tuple[str, str] | None:
        """A weighted sum of probabilities is a probability if no weight is negative and they add up to at most 1."""
        low = next(((name, f"takes `{name}` times {w:g}") for name, w in self.of.items() if w < 0), None)
        total = sum(self.of.values())
        high = (next(reversed(self.of)), f"has weights that add up to {total:g}") if total > 1 + _ROUNDING else None
        return value_among(self.of, probabilities) or low or high

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the weighted sum."""
        return self.timed(at, at.sum(*(at.scale(probability(at, part), self.of[part.name]) for part in parts)))


@fusion("mixture")
class Mixture(FusionKind):
    """Two outputs weighted by a probability: ESM2's conversion rate, with or without an action (1910.07099)."""

    formula: ClassVar[str] = "p = q a + (1 - q) b for `of: [q, a, b]`"
    title: ClassVar[str] = "mixture"
    logit_as_part: ClassVar[bool] = True
    of: Annotated[tuple[str, ...], Field(min_length=3, max_length=3)]
    """The probability q, the output with weight q, and the output with weight 1 - q."""

    def excess(self, probabilities: frozenset[str]) -> tuple[str, str] | None:
        """A mixture of probabilities lies between them, and is a probability."""
        return value_among(self.of, probabilities)

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the mixture."""
        q, a, b = (probability(at, part) for part in parts)
        return at.apply("mixture", q, a, b)

    def logits(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the logit of the mixture; finite gradients for any logits."""
        if any(part.output != "binary" for part in parts):
            return at.apply("logit_of_log", at.apply("safe_log", self.lower(at, parts)))
        return at.apply("mixture_logit", *(part.logits for part in parts))


@fusion("weighted_product")
class WeightedProduct(Fusion):
    """A ranking score: powers of probabilities or values, multiplied in log space."""

    formula: ClassVar[str] = "prod_k p_k^(w_k) = exp(sum_k w_k log p_k)"
    title: ClassVar[str] = "Π"
    of: Weights

    def excess(self, probabilities: frozenset[str]) -> tuple[str, str] | None:
        """A weighted product of probabilities is a probability if no power is negative."""
        low = ((name, f"takes `{name}` to the power {w:g}") for name, w in self.of.items() if w < 0)
        return value_among(self.of, probabilities) or next(low, None)

    def lower(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the weighted product, at most e^80."""
        return self.timed(at, at.apply("bounded_exp", at.sum(*self.logs(at, parts))))

    def logits(self, at: Scope, parts: tuple[Part, ...]) -> Value:
        """`[B]`: the logit of the weighted product."""
        return self.logit(at, self.logs(at, parts))

    def logs(self, at: Scope, parts: tuple[Part, ...]) -> tuple[Value, ...]:
        """The logarithms, `[B]` each, that add up to the logarithm of the score."""
        return tuple(at.scale(log_probability(at, part), self.of[part.name]) for part in parts)
