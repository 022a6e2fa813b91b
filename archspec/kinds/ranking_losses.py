"""Kinds of losses that compare the rows of a group, such as a user's or a request's. torch is imported only inside.

Only rows of the same batch are compared, in memory quadratic in the number of rows. A batch in which nothing can be
compared has loss 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import Field

from archspec.contract import GroupName, LossKind, loss
from archspec.contract.settings import Positive

if TYPE_CHECKING:
    from torch import Tensor

RANKED: Final = ("binary", "regression", "quantile", "poisson", "tweedie", "weighted_logistic")
"""Kinds of tasks with one output that ranks rows."""


@loss("pairwise")
class Pairwise(LossKind):
    """Logistic loss of the pairs of a group whose labels differ: the mean over all pairs of the batch."""

    paper: ClassVar[str] = "Burges et al.: Learning to rank using gradient descent (RankNet), ICML 2005"
    tasks: ClassVar[tuple[str, ...]] = RANKED
    formula: ClassVar[str] = "mean over pairs y_i > y_j of a group of softplus(-(l_i - l_j) / temperature)"
    group: GroupName
    temperature: Positive = 1.0

    def within(self, logits: Tensor, labels: Tensor, groups: Tensor, inside: Tensor) -> Tensor:
        """Losses `[B]`: each row's pairs with lower labels, scaled so that the mean over rows is that over pairs."""
        from torch.nn.functional import softplus

        pairs = _same(groups, inside) & (labels[:, None] > labels[None, :])
        losses = softplus((logits[None, :] - logits[:, None]) / self.temperature) * pairs
        return losses.sum(1) * (inside.sum() / pairs.sum().clamp_min(1))


@loss("listwise")
class Listwise(LossKind):
    """Cross entropy between the labels and the scores of a group: the mean over the groups with a positive label."""

    paper: ClassVar[str] = (
        "Cao et al.: Learning to rank: from pairwise approach to listwise approach (ListNet), ICML 2007"
    )
    tasks: ClassVar[tuple[str, ...]] = RANKED
    formula: ClassVar[str] = "mean over groups of -sum_i (y_i / sum_j y_j) log softmax_i(l / temperature)"
    group: GroupName
    temperature: Positive = 1.0

    def within(self, logits: Tensor, labels: Tensor, groups: Tensor, inside: Tensor) -> Tensor:
        """Losses `[B]`: each row's term, scaled so that their mean over rows is the mean over groups."""
        import torch

        same = _same(groups, inside)
        y = labels.to(logits.dtype).clamp_min(0) * same.any(1)
        total = (y[None, :] * same).sum(1)
        counted = total > 0
        terms = -y / torch.where(counted, total, torch.ones_like(total)) * _log_share(logits / self.temperature, same)
        sizes = same.sum(1).clamp_min(1)
        groups_counted = (counted.to(logits.dtype) / sizes).sum()
        return terms * (inside.sum() / torch.where(groups_counted > 0, groups_counted, torch.ones_like(groups_counted)))


@loss("jrc")
class Jrc(LossKind):
    """Ranking and calibration at once, from a logit for each of two classes.

    alpha times the cross entropy over classes, plus 1 - alpha times the cross entropy over the rows of the group, by
    the logit of the row's class.
    """

    paper: ClassVar[str] = (
        "Sheng et al.: Joint optimization of ranking and calibration with contextualized hybrid model, 2208.06164"
    )
    tasks: ClassVar[tuple[str, ...]] = ("multiclass",)
    outputs: ClassVar[int | None] = 2
    formula: ClassVar[str] = (
        "-alpha log softmax(l_i)_y - (1 - alpha) log(exp(l_iy) / sum_j exp(l_jy)), j in the group of i"
    )
    group: GroupName
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5

    def within(self, logits: Tensor, labels: Tensor, groups: Tensor, inside: Tensor) -> Tensor:
        """Logits `[B, 2]`, labels `[B]` -> `[B]`."""
        import torch
        from torch.nn.functional import cross_entropy

        y, same = labels.long(), _same(groups, inside)
        shares = torch.stack([_log_share(logits[:, k], same) for k in range(2)], 1)
        ranked = -shares.gather(1, y[:, None]).squeeze(1) * same.any(1)
        return self.alpha * cross_entropy(logits, y, reduction="none") + (1 - self.alpha) * ranked


def _same(groups: Tensor, inside: Tensor) -> Tensor:
    """Which rows are compared, bool `[B, B]`: those of the same group, in the sample space."""
    return (groups[:, None] == groups[None, :]) & inside[:, None] & inside[None, :]


def _log_share(logits: Tensor, same: Tensor) -> Tensor:
    """log of exp(l_i) / sum_j exp(l_j), `[B]`, j in the group of i; 0 for a row without a group."""
    import torch

    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    others = torch.where(same | own, logits[None, :], float("-inf"))
    return logits - others.logsumexp(1)
