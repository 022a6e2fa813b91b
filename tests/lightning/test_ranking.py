"""NDCG@k and recall@k within groups, compared with a loop over groups and all orders of tied rows."""

from __future__ import annotations

from itertools import permutations
from math import isnan, log2

import pytest
import torch
from torch import Tensor

import archspec
from archspec.lightning.metrics import TaskMetrics
from archspec.lightning.ranking import GroupedRanking


def orders(scores: list[float]) -> list[tuple[int, ...]]:
    """All orders of rows in which scores never rise."""
    rows = range(len(scores))
    return [order for order in permutations(rows) if sorted(scores, reverse=True) == [scores[row] for row in order]]


def dcg(gains: list[float], top: int) -> float:
    """The discounted gains of rows that are in this order."""
    return sum(gain / log2(2 + place) for place, gain in enumerate(gains[:top]))


def by_hand(scores: Tensor, labels: Tensor, groups: Tensor, top: int, least: float) -> tuple[float, float]:
    """NDCG@k and recall@k, group by group, as the mean over all orders of tied rows."""
    found, shares = [], []
    for group in set(groups.tolist()):
        s, y = scores[groups == group].tolist(), labels[groups == group].tolist()
        every = orders(s)
        if sum(y) > 0:
            best = dcg(sorted(y, reverse=True), top)
            found.append(sum(dcg([y[row] for row in order], top) for order in every) / len(every) / best)
        positive = [value > least for value in y]
        if any(positive):
            hits = sum(sum(positive[row] for row in order[:top]) for order in every) / len(every)
            shares.append(hits / sum(positive))
    return sum(found) / len(found), sum(shares) / len(shares)


def drawn(rows: int, seed: int, classes: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Scores with many ties, labels and groups of few rows, some without a positive one."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randint(-2, 2, (rows,), generator=draw) / 3
    labels = torch.randint(classes, (rows,), generator=draw).float()
    groups = torch.randint(-9, 9, (rows,), generator=draw) * 10**15
    return scores, labels * (groups != 0), groups


@pytest.mark.parametrize("top", [1, 2, 3, 100])
@pytest.mark.parametrize("classes", [2, 5])
def test_ndcg_and_recall_are_those_of_each_group(top: int, classes: int) -> None:
    """Over uneven batches that split groups, the values equal those of a loop over all orders of tied rows."""
    scores, labels, groups = drawn(60, seed=classes, classes=classes)
    area = classes == 2
    metric = GroupedRanking(top, area=area)
    for chosen in torch.split(torch.arange(60), [1, 40, 19]):
        metric.update(scores[chosen], labels[chosen], groups[chosen])
    found = metric.compute()
    assert tuple(found) == metric.names()
    expected = by_hand(scores, labels, groups, top, 0.5 if area else 0)
    assert [float(found[f"{name}@{top}"]) for name in ("ndcg", "recall")] == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type] # tensors
    assert ("grouped_auc" in found) == area


def test_values_that_are_known() -> None:
    """By hand: the only positive row is second of three, so NDCG@2 is 1 / log2(3), recall@1 0 and recall@2 1."""
    columns = torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0.0, 1.0, 0.0]), torch.tensor([4, 4, 4])
    for top, expected in ((1, (0.0, 0.0)), (2, (1 / log2(3), 1.0))):
        metric = GroupedRanking(top)
        metric.update(*columns)
        found = metric.compute()
        assert (float(found[f"ndcg@{top}"]), float(found[f"recall@{top}"])) == pytest.approx(expected)  # type: ignore[arg-type] # tensors


def test_groups_without_positive_rows_do_not_count() -> None:
    """They neither help nor harm; if no group has a positive row, or there is no row, there is no value."""
    metric = GroupedRanking(1)
    metric.update(torch.tensor([0.9, 0.1, 0.3]), torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1, 1, 2]))
    assert {name: float(value) for name, value in metric.compute().items() if value is not None} == {
        "grouped_auc": 1.0, "ndcg@1": 1.0, "recall@1": 1.0,
    }  # fmt: skip
    for rows in (0, 2):
        empty = GroupedRanking(1)
        empty.update(torch.zeros(rows), torch.zeros(rows), torch.zeros(rows, dtype=torch.int64))
        assert set(empty.compute().values()) == {None}


def test_scores_that_are_no_number_are_not_hidden() -> None:
    """If the scores of a diverged model are NaN, so are the metrics."""
    metric = GroupedRanking(1)
    metric.update(torch.tensor([0.1, float("nan")]), torch.tensor([1.0, 0.0]), torch.tensor([1, 1]))
    assert all(value is not None and isnan(value) for value in metric.compute().values())


SPEC = """
archspec: 1
name: measured
inputs: {{x: {{kind: dense, dim: 2}}}}
tasks: {{a: {task}}}
towers: {{a: {{units: []}}}}
"""


@pytest.mark.parametrize(
    ("task", "outputs", "names"),
    [
        ("{kind: binary}", 1, {"grouped_auc", "ndcg@3", "recall@3"}),
        ("{kind: ordinal, classes: 3}", 2, {"ndcg@3", "recall@3"}),
        ("{kind: poisson}", 1, {"ndcg@3", "recall@3"}),
        ("{kind: ziln}", 3, {"ndcg@3", "recall@3"}),
        ("{kind: regression}", 1, set()),
        ("{kind: multiclass, classes: 3}", 3, set()),
    ],
)
def test_tasks_whose_labels_are_gains_are_ranked(task: str, outputs: int, names: set[str]) -> None:
    """Within groups, tasks with labels of at least 0 and one prediction are ranked by it; labels are the gains."""
    block = archspec.load(SPEC.format(task=task)).tasks["a"]
    metrics = TaskMetrics(block, "user", top=3)
    made = torch.randn(8, outputs, generator=torch.Generator().manual_seed(0)).squeeze(1)
    labels = torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    labels = labels if block.settings.whole else labels.float()
    users = torch.tensor([1, 1, 1, 2, 2, 3, 3, 3])
    metrics.update({"a": made}, {"a": labels, "user": users})
    found = metrics.compute()
    assert {name for name in found if "@" in name or name == "grouped_auc"} == names
    assert set(metrics.names()) >= set(found)
