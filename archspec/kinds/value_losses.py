"""Kinds of losses of values: numbers, counts, amounts with many zeros. torch is imported only inside the methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from archspec.contract import LossKind, loss
from archspec.contract.settings import Positive

if TYPE_CHECKING:
    from torch import Tensor


@loss("mse")
class SquaredError(LossKind):
    """Squared error of the value, or of a binary task's probability: the default of regression tasks."""

    tasks: ClassVar[tuple[str, ...]] = ("regression", "binary")
    reads: ClassVar[Literal["logits", "scores"]] = "scores"
    formula: ClassVar[str] = "(v - y)^2; of a binary task (sigmoid(l) - y)^2"

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Scores `[B]`, labels `[B]` -> `[B]`."""
        return (logits - labels.to(logits.dtype)).square()


@loss("mae")
class AbsoluteError(LossKind):
    """Absolute error."""

    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    reads: ClassVar[Literal["logits", "scores"]] = "scores"
    formula: ClassVar[str] = "|v - y|"

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Values `[B]`, labels `[B]` -> `[B]`."""
        return (logits - labels.to(logits.dtype)).abs()


@loss("huber")
class Huber(LossKind):
    """Squared near zero, absolute beyond delta (Huber, 1964)."""

    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    reads: ClassVar[Literal["logits", "scores"]] = "scores"
    formula: ClassVar[str] = "(v - y)^2 / 2 where |v - y| <= delta, else delta (|v - y| - delta / 2)"
    delta: Positive = 1.0

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Values `[B]`, labels `[B]` -> `[B]`."""
        from torch.nn.functional import huber_loss

        return huber_loss(logits, labels.to(logits.dtype), reduction="none", delta=self.delta)


@loss("pinball")
class Pinball(LossKind):
    """Absolute error, times q for values below the label and 1 - q for values above it; fits a quantile."""

    paper: ClassVar[str] = "Koenker, Bassett: Regression quantiles, Econometrica 1978"
    tasks: ClassVar[tuple[str, ...]] = ("regression", "quantile")
    formula: ClassVar[str] = "max(q (y - v), (q - 1) (y - v))"
    q: Annotated[float, Field(gt=0, lt=1)] = 0.5

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Values `[B]`, labels `[B]` -> `[B]`."""
        error = labels.to(logits.dtype) - logits
        return (self.q * error).maximum((self.q - 1) * error)


@loss("poisson")
class PoissonLoss(LossKind):
    """Negative log likelihood of a count, without its constant log y!: the default of Poisson tasks."""

    tasks: ClassVar[tuple[str, ...]] = ("poisson",)
    formula: ClassVar[str] = "exp(l) - y l"

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logarithms of rates `[B]`, labels `[B]` from 0 up -> `[B]`."""
        return _exp(logits) - labels.to(logits.dtype) * logits


@loss("tweedie")
class TweedieLoss(LossKind):
    """Half the Tweedie deviance, without the terms that depend only on the label: the default of Tweedie tasks."""

    paper: ClassVar[str] = "Jorgensen: Exponential dispersion models, J. R. Statist. Soc. B 1987"
    tasks: ClassVar[tuple[str, ...]] = ("tweedie",)
    formula: ClassVar[str] = "v^(2 - power) / (2 - power) - y v^(1 - power) / (1 - power), v = exp(l)"
    power: Annotated[float, Field(gt=1, lt=2)] = 1.5

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logarithms of values `[B]`, labels `[B]` from 0 up -> `[B]`."""
        low, high = 1 - self.power, 2 - self.power
        return _exp(high * logits) / high - labels.to(logits.dtype) * _exp(low * logits) / low


@loss("ziln")
class ZeroInflatedLognormalLoss(LossKind):
    """Negative log likelihood of an amount that is 0 or lognormal: the default of `ziln` tasks."""

    paper: ClassVar[str] = (
        "Wang, Liu, Miao: A deep probabilistic model for customer lifetime value prediction, 1912.07753"
    )
    tasks: ClassVar[tuple[str, ...]] = ("ziln",)
    formula: ClassVar[str] = (
        "logistic(a, y > 0) + [y > 0] (log(y s sqrt(2 pi)) + (log y - m)^2 / (2 s^2)), s = softplus(b)"
    )

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Outputs `[B, 3]`, labels `[B]` from 0 up -> `[B]`."""
        from math import log, pi

        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits, softplus

        y = labels.to(logits.dtype)
        positive = y > 0
        happens = binary_cross_entropy_with_logits(logits[:, 0], positive.to(logits.dtype), reduction="none")
        spread = softplus(logits[:, 2]).clamp_min(torch.finfo(logits.dtype).eps ** 0.5)
        log_y = torch.where(positive, y, torch.ones_like(y)).log()
        likely = log_y + spread.log() + log(2 * pi) / 2 + ((log_y - logits[:, 1]) / spread).square() / 2
        return happens + torch.where(positive, likely, torch.zeros_like(likely))


@loss("weighted_logistic")
class WeightedLogisticLoss(LossKind):
    """Logistic loss whose positive rows are weighted with their label, such as the watch time.

    With `negatives: zeros`, rows with label 0 are negatives, as in the paper: the odds are E[y] / P(y = 0). With `all`,
    every row also counts as a negative: the odds are exactly E[y].
    """

    paper: ClassVar[str] = (
        "Covington, Adams, Sargin: Deep neural networks for YouTube recommendations, RecSys 2016, 4.2"
    )
    tasks: ClassVar[tuple[str, ...]] = ("weighted_logistic",)
    formula: ClassVar[str] = "-y log sigmoid(l) - [negative] log sigmoid(-l)"
    negatives: Literal["zeros", "all"] = "zeros"

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits `[B]`, labels `[B]` from 0 up -> `[B]`."""
        from torch.nn.functional import softplus

        y = labels.to(logits.dtype)
        negative = softplus(logits)
        return y * softplus(-logits) + (negative if self.negatives == "all" else negative * (y == 0))


def _exp(x: Tensor) -> Tensor:
    """exp x, finite in single precision."""
    return x.clamp_max(80.0).exp()
