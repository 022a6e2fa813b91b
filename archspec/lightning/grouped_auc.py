"""The exact area under the ROC curve, over all rows or as the mean over groups of rows; ties count half."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class AUC(Metric):
    """The share of pairs of a positive and a negative row whose scores are in the right order; ties count half.

    Stores a score and a boolean per row. `compute()` returns `[]` in float64, None if only one class was seen, and NaN
    if a score was NaN.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    scores: list[Tensor]
    positives: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("positives", [], dist_reduce_fx="cat")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Adds a batch: scores `[B]` on any monotonic scale, such as logits; labels `[B]`, positive above one half."""
        self.scores.append(scores.detach())
        self.positives.append(labels > 0.5)  # noqa: PLR2004 - labels are 0 or 1; a soft one counts as the nearer of them

    def compute(self) -> Tensor | None:
        """The area over the rows of all processes."""
        scores, positives = dim_zero_cat(self.scores), dim_zero_cat(self.positives)
        return mean_auc(scores, positives, torch.zeros_like(positives, dtype=torch.int64))


class GroupedAUC(AUC):
    """GAUC: the area within each group, such as a user, averaged with the group's number of rows as its weight.

        GAUC = sum_g rows_g AUC_g / sum_g rows_g, over groups that contain both classes

    (Zhu et al., Optimized Cost per Click in Taobao Display Advertising, KDD 2017, eq. 10, with impressions as weights.)
    A group may be spread over batches and processes. Stores a score, a boolean and an id per row; `compute()` returns
    `[]` in float64, or None if no group contains both classes.
    """

    groups: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("groups", [], dist_reduce_fx="cat")

    def update(self, scores: Tensor, labels: Tensor, groups: Tensor) -> None:  # type: ignore[override] # a different metric
        """Like `AUC.update`; groups are ids, any integers, `[B]`."""
        super().update(scores, labels)
        self.groups.append(groups.to(torch.int64))

    def compute(self) -> Tensor | None:
        """The mean over the groups of all processes."""
        return mean_auc(dim_zero_cat(self.scores), dim_zero_cat(self.positives), dim_zero_cat(self.groups))


def mean_auc(scores: Tensor, positives: Tensor, groups: Tensor) -> Tensor | None:
    """Mean of the areas of all groups with both classes, weighted by their rows: `[]`, float64; None if there is none.

    Counts with integers, so the result does not depend on the order of rows. With ranks from 1 and mean ranks for ties,
    AUC_g = (R_g - P_g (P_g + 1) / 2) / (P_g N_g), R_g the sum of the ranks of the P_g positive rows.

    Args:
        scores: `[B]`.
        positives: bool, `[B]`.
        groups: int64, `[B]`.
    """
    if scores.isnan().any():
        return torch.tensor(float("nan"), dtype=torch.float64)
    _, group, sizes = torch.unique(groups, return_inverse=True, return_counts=True)
    order = torch.argsort(scores, stable=True)
    order = order[torch.argsort(group[order], stable=True)]
    ranks = torch.empty_like(order)
    ranks[order] = _doubled_ranks(scores[order], group[order], sizes)
    rank_sums = torch.zeros_like(sizes).index_add(0, group, ranks * positives)
    many = torch.zeros_like(sizes).index_add(0, group, positives.to(torch.int64))
    few = sizes - many
    both = (many > 0) & (few > 0)
    if not both.any():
        return None
    pairs = (rank_sums - many * (many + 1))[both].cpu().double() / 2
    areas = pairs / (many * few)[both].cpu().double()
    weights = sizes[both].cpu().double()
    mean: Tensor = (areas * weights).sum() / weights.sum()
    return mean


def mean_ranks(values: Tensor) -> Tensor:
    """The rank of each value from 1, `[N]` in float64; equal values have the mean of their ranks."""
    order = torch.argsort(values, stable=True)
    one = torch.zeros_like(order)
    ranks = torch.empty(len(values), dtype=torch.float64, device=values.device)
    ranks[order] = _doubled_ranks(values[order], one, one.new_tensor([len(values)])).double() / 2
    return ranks


def _doubled_ranks(scores: Tensor, group: Tensor, sizes: Tensor) -> Tensor:
    """Twice the rank of each row within its group, `[B]`, int64; rows must be sorted by group, then by score."""
    rows = torch.arange(len(scores), device=scores.device)
    new = torch.ones_like(scores, dtype=torch.bool)
    new[1:] = (scores[1:] != scores[:-1]) | (group[1:] != group[:-1])
    run = new.cumsum(0) - 1
    first = rows[new]
    last = torch.cat([first[1:], rows.new_tensor([len(rows)])]) - 1
    starts = sizes.cumsum(0) - sizes
    return (first + last)[run] - 2 * starts[group] + 2
