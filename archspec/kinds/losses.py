"""Kinds of losses of probabilities and classes: one number per row. torch is imported only inside the methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from archspec.contract import ColumnName, LossKind, loss
from archspec.contract.settings import NotNegative, Positive, Probability, added

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


@loss("logistic")
class Logistic(LossKind):
    """Logistic loss from logits: the default of binary tasks. `smoothing` s learns y (1 - s) + s / 2 instead of y."""

    tasks: ClassVar[tuple[str, ...]] = ("binary",)
    formula: ClassVar[str] = "-pos_weight y log sigmoid(l) - (1 - y) log sigmoid(-l)"
    pos_weight: Positive = added(1.0)
    """Factor of the loss of positive rows."""
    smoothing: Probability = added(0.0)

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits `[B]`, labels `[B]` in 0..1 -> `[B]`."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        y = labels.to(logits.dtype)
        y = y * (1 - self.smoothing) + self.smoothing / 2 if self.smoothing else y
        weight = None if self.pos_weight == 1 else logits.new_tensor(self.pos_weight)
        return binary_cross_entropy_with_logits(logits, y, reduction="none", pos_weight=weight)


@loss("focal")
class Focal(LossKind):
    """Logistic loss in which a row counts less the better it is predicted."""

    paper: ClassVar[str] = "Lin et al.: Focal loss for dense object detection, 1708.02002, eq. 5"
    tasks: ClassVar[tuple[str, ...]] = ("binary",)
    formula: ClassVar[str] = "-alpha y (1 - p)^gamma log p - (1 - alpha) (1 - y) p^gamma log(1 - p), p = sigmoid(l)"
    gamma: NotNegative = 2.0
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.5

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits `[B]`, labels `[B]` in 0..1 -> `[B]`."""
        from torch.nn.functional import logsigmoid

        y = labels.to(logits.dtype)
        yes, no = logsigmoid(logits), logsigmoid(-logits)
        positive = -self.alpha * y * (self.gamma * no).exp() * yes
        return positive - (1 - self.alpha) * (1 - y) * (self.gamma * yes).exp() * no


@loss("cross_entropy")
class CrossEntropy(LossKind):
    """Cross entropy from logits: the default of multiclass tasks."""

    tasks: ClassVar[tuple[str, ...]] = ("multiclass",)
    formula: ClassVar[str] = "-log softmax(l)_y"

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits `[B, classes]`, labels int64 `[B]` -> `[B]`."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, labels.long(), reduction="none")


@loss("corn")
class Corn(LossKind):
    """Conditional logistic losses of ordered classes: the default of ordinal tasks.

    A row of class y trains the outputs 0..y. The paper divides by the number of trained outputs; this divides by rows.
    """

    paper: ClassVar[str] = "Shi, Cao, Raschka: Deep neural networks for rank-consistent ordinal regression, 2111.08851"
    tasks: ClassVar[tuple[str, ...]] = ("ordinal",)
    formula: ClassVar[str] = "sum_(k <= y) logistic(l_k, y > k)"

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Logits `[B, classes - 1]`, labels int64 `[B]` -> `[B]`."""
        import torch
        from torch.nn.functional import binary_cross_entropy_with_logits

        classes = torch.arange(logits.shape[1], device=logits.device)
        y = labels.long()[:, None]
        losses = binary_cross_entropy_with_logits(logits, (y > classes).to(logits.dtype), reduction="none")
        return (losses * (y >= classes)).sum(1)


@loss("distill")
class Distill(LossKind):
    """Cross entropy against another model's prediction, which is in a column of the batch."""

    paper: ClassVar[str] = "Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, 1503.02531"
    tasks: ClassVar[tuple[str, ...]] = ("binary",)
    selects_rows: ClassVar[bool] = False
    formula: ClassVar[str] = "T^2 logistic(l / T, sigmoid(t / T)), t the other model's logit"
    column: ColumnName
    temperature: Positive = 1.0
    source: Annotated[Literal["probability", "logit"], Field(alias="from")] = "probability"
    """Whether the column contains logits or probabilities."""

    def joint(
        self, logits: Tensor, labels: Tensor, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]
    ) -> Tensor:
        """Logits `[B]` -> `[B]`."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        taught = batch[self.column].to(logits.dtype)
        if self.source == "logit":
            taught = (taught / self.temperature).sigmoid()
        elif self.temperature != 1:
            taught = (taught.logit(eps=1e-7) / self.temperature).sigmoid()
        losses = binary_cross_entropy_with_logits(logits / self.temperature, taught, reduction="none")
        return losses * self.temperature**2
