"""Metrics within groups of rows, such as the candidates of a request: grouped AUC, NDCG@k and recall@k."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from archspec.lightning.grouped_auc import mean_auc

WITHIN_GROUPS: Final = ("grouped_auc", "ndcg", "recall")
"""The metrics within groups, without k; all are better if they are higher."""


class GroupedRanking(Metric):
    """How well scores rank the rows of each group: NDCG@k, recall@k and, for labels of two classes, grouped AUC.

    A group may be spread over batches and processes. Stores a score, a label and an id per row, usually 16 bytes.

    Args:
        top: k.
        area: whether `grouped_auc` is measured; labels above one half are then positive, instead of those above 0.
    """

    is_differentiable = False
    full_state_update = False

    scores: list[Tensor]
    labels: list[Tensor]
    groups: list[Tensor]

    def __init__(self, top: int = 10, *, area: bool = True) -> None:
        super().__init__()
        self.top, self.area = top, area
        for name in ("scores", "labels", "groups"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def names(self) -> tuple[str, ...]:
        """The metrics."""
        return (*(["grouped_auc"] if self.area else []), f"ndcg@{self.top}", f"recall@{self.top}")

    def update(self, scores: Tensor, labels: Tensor, groups: Tensor) -> None:
        """Adds a batch: scores on any monotonic scale, labels of at least 0, and ids, any integers, `[B]` each."""
        self.scores.append(scores.detach())
        self.labels.append(labels.float())
        self.groups.append(groups.to(torch.int64))

    def compute(self) -> dict[str, Tensor | None]:
        """The metrics over the groups of all processes, `[]` each, by name; None for one without a value."""
        scores, labels, groups = (dim_zero_cat(column) for column in (self.scores, self.labels, self.groups))
        positive = labels > (0.5 if self.area else 0)
        found = [ndcg(scores, labels, groups, self.top), recall(scores, positive, groups, self.top)]
        return dict(zip(self.names(), [mean_auc(scores, positive, groups)] * self.area + found, strict=True))


def ndcg(scores: Tensor, gains: Tensor, groups: Tensor, top: int) -> Tensor | None:
    """NDCG@k: the mean over groups of DCG / IDCG. `[]` in float64; None without a group; NaN if a score is NaN.

        DCG = sum of gain_i / log2(1 + rank_i) over the rows of rank_i <= k, the highest score first

    (Jarvelin and Kekalainen, ACM TOIS 2002, with the discount of Burges et al., ICML 2005.) IDCG is the DCG of the
    order by gains. Groups without a gain above 0 have no order to find and do not count. Rows with equal scores get the
    mean discount of their ranks: the mean over all their orders (McSherry and Najork, ECIR 2008).

    Args:
        scores: `[N]`.
        gains: of at least 0, `[N]`.
        groups: int64, `[N]`.
        top: k.
    """
    _, group = torch.unique(groups, return_inverse=True)
    ranks = torch.arange(1, top + 1, dtype=torch.float64, device=scores.device)
    discounts = torch.cat([ranks.new_zeros(1), (1 / (1 + ranks).log2()).cumsum(0)])
    gains = gains.double()
    found, best = (_sums(gains * _mean_in_top(values, group, discounts), group) for values in (scores, gains))
    return _mean(found, best, scores)


def recall(scores: Tensor, positive: Tensor, groups: Tensor, top: int) -> Tensor | None:
    """Recall@k: the mean over groups of the share of positive rows among the k with the highest scores.

    `[]` in float64; None without a group, NaN if a score is NaN. Groups without a positive row do not count. Of rows
    with equal scores, each has the same chance to be among the k.

    Args:
        scores: `[N]`.
        positive: bool, `[N]`.
        groups: int64, `[N]`.
        top: k.
    """
    _, group = torch.unique(groups, return_inverse=True)
    counts = torch.arange(top + 1, dtype=torch.float64, device=scores.device)
    found = _sums(positive * _mean_in_top(scores, group, counts), group)
    return _mean(found, _sums(positive.double(), group), scores)


def _mean(found: Tensor, best: Tensor, scores: Tensor) -> Tensor | None:
    """The mean of found / best over the groups whose best is above 0."""
    counted = best > 0
    if not counted.any():
        return None
    if scores.isnan().any():
        return scores.new_full((), float("nan"), dtype=torch.float64)
    return (found[counted] / best[counted]).mean()


def _sums(values: Tensor, group: Tensor) -> Tensor:
    """The sum of the values of each group, `[G]`; groups are numbered from 0."""
    return values.new_zeros(int(group.max()) + 1 if len(group) else 0).index_add(0, group, values)


def _mean_in_top(scores: Tensor, group: Tensor, sums: Tensor) -> Tensor:
    """The value of each row's rank within its group, `[N]`; of equal scores, the mean of the values of their ranks.

    Args:
        scores: `[N]`; the highest has rank 1.
        group: `[N]`.
        sums: the sum of the values of the first 0, 1, ..., k ranks, `[k + 1]`; all other ranks have the value 0.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    order = order[torch.argsort(group[order], stable=True)]
    sorted_scores, sorted_group = scores[order], group[order]
    rows = torch.arange(len(scores), device=scores.device)
    starts = torch.ones_like(sorted_group, dtype=torch.bool)
    starts[1:] = sorted_group[1:] != sorted_group[:-1]
    ties = starts.clone()
    ties[1:] |= sorted_scores[1:] != sorted_scores[:-1]
    first = rows[ties]
    sizes = torch.diff(first, append=rows.new_tensor([len(rows)]))
    before = first - rows[starts][starts.cumsum(0)[first] - 1]  # the rows of the group with higher scores
    most = len(sums) - 1
    values = (sums[(before + sizes).clamp(max=most)] - sums[before.clamp(max=most)]) / sizes
    found = torch.empty(len(scores), dtype=sums.dtype, device=scores.device)
    found[order] = values.repeat_interleave(sizes)
    return found
