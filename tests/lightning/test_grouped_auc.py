"""AUC and grouped AUC, compared with pair counting, hand-computed cases and torchmetrics."""

from __future__ import annotations

from math import isnan

import pytest
import torch
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from archspec.lightning import AUC, GroupedAUC


def area(scores: list[float], labels: list[int]) -> float:
    """The share of pairs in the right order, counted one by one; ties count half."""
    pairs = [
        1.0 if high > low else 0.5 if high == low else 0.0
        for high, positive in zip(scores, labels, strict=True)
        if positive
        for low, other in zip(scores, labels, strict=True)
        if not other
    ]
    return sum(pairs) / len(pairs)


def value(metric: AUC) -> float:
    """The value of the metric."""
    found = metric.compute()
    assert found is not None
    return float(found)


def drawn(rows: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Scores with many ties, labels and groups."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(-5, 5, (rows,), generator=draw) / 3
    return scores, torch.randint(2, (rows,), generator=draw), torch.randint(-3, 4, (rows,), generator=draw)


@pytest.mark.parametrize("seed", range(3))
def test_auc_is_the_share_of_pairs_in_order(seed: int) -> None:
    """Ties count half; the value equals that of torchmetrics' AUROC and of pair counting."""
    scores, labels, _ = drawn(60, seed)
    metric = AUC()
    metric.update(scores, labels)
    assert value(metric) == pytest.approx(area(scores.tolist(), labels.tolist()), abs=1e-12)
    assert value(metric) == pytest.approx(float(binary_auroc(scores.sigmoid(), labels)), abs=1e-6)


def test_logits_too_large_for_probabilities_keep_their_order() -> None:
    """Logits are ranked, so 40 and 50 do not tie although both probabilities are 1 in single precision."""
    metric = AUC()
    metric.update(torch.tensor([40.0, 50.0]), torch.tensor([0.0, 1.0]))
    assert value(metric) == 1.0


def test_a_group_weighs_by_its_rows() -> None:
    """By hand: user 7 has 3 rows and an area of 1/2, user 9 has 2 rows and 1: (3 * 1/2 + 2 * 1) / 5."""
    metric = GroupedAUC()
    scores = torch.tensor([0.1, 0.2, 0.3, 0.9, 0.5])
    metric.update(scores, torch.tensor([0, 1, 0, 1, 0]), torch.tensor([7, 7, 7, 9, 9]))
    assert value(metric) == pytest.approx((3 * 0.5 + 2 * 1.0) / 5, abs=1e-12)


def test_groups_with_one_class_do_not_count() -> None:
    """A user who always clicks contributes nothing, however many rows there are."""
    metric = GroupedAUC()
    metric.update(torch.tensor([0.3, 0.1, 0.9, 0.8]), torch.tensor([0, 1, 1, 1]), torch.tensor([1, 1, 2, 2]))
    assert value(metric) == 0.0


@pytest.mark.parametrize("seed", range(3))
def test_many_groups_are_each_counted_pair_by_pair(seed: int) -> None:
    """With uneven batches that split groups, the value equals that of a loop over groups."""
    scores, labels, groups = drawn(80, seed)
    metric = GroupedAUC()
    for chosen in torch.split(torch.arange(80), [1, 50, 29]):
        metric.update(scores[chosen], labels[chosen], groups[chosen])
    found, weights = [], []
    for group in set(groups.tolist()):
        mine = groups == group
        if 0 < labels[mine].sum() < mine.sum():
            found.append(area(scores[mine].tolist(), labels[mine].tolist()))
            weights.append(int(mine.sum()))
    expected = sum(a * w for a, w in zip(found, weights, strict=True)) / sum(weights)
    assert value(metric) == pytest.approx(expected, abs=1e-12)


def test_one_class_has_no_area() -> None:
    """Without positive or without negative rows there is no pair, so there is no value."""
    metric, grouped = AUC(), GroupedAUC()
    metric.update(torch.tensor([0.1, 0.2]), torch.tensor([1, 1]))
    grouped.update(torch.tensor([0.1, 0.2]), torch.tensor([1, 0]), torch.tensor([1, 2]))
    assert metric.compute() is None
    assert grouped.compute() is None


def test_no_row_has_no_area() -> None:
    """Batches without a row are legal and give no value."""
    metric = GroupedAUC()
    metric.update(torch.zeros(0), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert metric.compute() is None


def test_scores_that_are_no_number_are_not_hidden() -> None:
    """If the scores of a diverged model are NaN, the area is NaN."""
    metric = AUC()
    metric.update(torch.tensor([0.1, float("nan")]), torch.tensor([1, 0]))
    assert isnan(value(metric))
