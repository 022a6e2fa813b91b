"""Kinds of losses: one number per row from logits (or scores) and labels. torch is imported only inside the methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from archspec.contract import LossKind, loss
from archspec.contract.settings import Positive

if TYPE_CHECKING:
    from torch import Tensor


@loss("logistic")
class Logistic(LossKind):
    """Logistic loss from logits: the default of binary tasks."""

    tasks: ClassVar[tuple[str, ...]] = ("binary",)
    formula: ClassVar[str] = "-y log sigmoid(l) - (1 - y) log sigmoid(-l)"

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits `[B]`, labels `[B]` in 0..1 -> `[B]`."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")


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
    formula: ClassVar[str] = "|v - y|"

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Values `[B]`, labels `[B]` -> `[B]`."""
        return (logits - labels.to(logits.dtype)).abs()


@loss("huber")
class Huber(LossKind):
    """Squared near zero, absolute beyond delta (Huber, 1964)."""

    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    formula: ClassVar[str] = "(v - y)^2 / 2 where |v - y| <= delta, else delta (|v - y| - delta / 2)"
    delta: Positive = 1.0

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Values `[B]`, labels `[B]` -> `[B]`."""
        from torch.nn.functional import huber_loss

        return huber_loss(logits, labels.to(logits.dtype), reduction="none", delta=self.delta)


@loss("cross_entropy")
class CrossEntropy(LossKind):
    """Cross entropy from logits: the default of multiclass tasks."""

    tasks: ClassVar[tuple[str, ...]] = ("multiclass",)
    formula: ClassVar[str] = "-log softmax(l)_y"

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits `[B, classes]`, labels int64 `[B]` -> `[B]`."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, labels.long(), reduction="none")
