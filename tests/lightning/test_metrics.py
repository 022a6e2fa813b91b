"""Metrics of tasks, compared with closed forms on the rows of their sample space."""

from __future__ import annotations

from math import log, nan, sqrt

import pytest
import torch
from torch import Tensor

import archspec
from archspec.lightning import LogLoss, NormalizedEntropy
from archspec.lightning.metrics import R2, TaskMetrics, merged_moments

SPEC = """
archspec: 1
name: one
inputs:
  x: {{kind: dense, dim: 2}}
tasks: {{a: {task}}}
towers:
  a: {{units: []}}
"""


def metrics_of(task: str, grouped_by: str | None = None) -> TaskMetrics:
    """The metrics of a task."""
    return TaskMetrics(archspec.load(SPEC.format(task=task)).tasks["a"], grouped_by)


def measured(metrics: TaskMetrics, outputs: Tensor, **columns: Tensor) -> dict[str, float]:
    """The metrics of one batch."""
    metrics.update({"a": outputs}, columns)
    return {name: float(value) for name, value in metrics.compute().items()}


def logit(p: float) -> float:
    """The logit of a probability."""
    return log(p / (1 - p))


def test_binary_tasks_have_area_log_loss_and_normalized_entropy() -> None:
    """NE is the log loss over that of the mean label: q = 3/4 here."""
    outputs, labels = torch.tensor([logit(0.9), logit(0.8), logit(0.3), logit(0.4)]), torch.tensor([1, 1, 1, 0])
    found = measured(metrics_of("{kind: binary}"), outputs, a=labels)
    loss = -(log(0.9) + log(0.8) + log(0.3) + log(0.6)) / 4
    entropy = -(0.75 * log(0.75) + 0.25 * log(0.25))
    expected = {"auc": 2 / 3, "log_loss": loss, "normalized_entropy": loss / entropy, "pcoc": 2.4 / 3}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert set(found) == {*expected, "ece"}


def test_masked_labels_are_not_measured() -> None:
    """With `missing_labels: mask` metrics use the rows that have a label, within `when`."""
    task = "{kind: binary, missing_labels: mask, when: on}"
    outputs, labels = torch.tensor([3.0, -1.0, 9.0, -9.0, 9.0]), torch.tensor([1.0, 0.0, float("nan"), -1.0, 0.0])
    found = measured(metrics_of(task), outputs, a=labels, on=torch.tensor([1, 1, 1, 1, 0]))
    assert found == measured(metrics_of("{kind: binary}"), outputs[:2], a=labels[:2])
    assert found["auc"] == 1


def test_predicting_the_mean_label_has_a_normalized_entropy_of_one() -> None:
    """Predicting the mean label gives exactly 1, whatever the rate; a better prediction gives less."""
    metric = NormalizedEntropy()
    metric.update(torch.full((5,), logit(0.2)), torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0]))
    assert float(metric.compute() or 0) == pytest.approx(1, abs=1e-6)


def test_log_loss_survives_large_logits() -> None:
    """A wrong logit of 80 costs 80 instead of infinity."""
    metric = LogLoss()
    metric.update(torch.tensor([80.0, 80.0]), torch.tensor([0.0, 1.0]))
    assert float(metric.compute() or 0) == pytest.approx(40)


def test_regression_tasks_have_rmse_and_mae() -> None:
    """sqrt(mean (v - y)^2) and mean |v - y|, over uneven batches."""
    metrics = metrics_of("{kind: regression, loss: huber}")
    metrics.update({"a": torch.tensor([1.0])}, {"a": torch.tensor([4.0])})
    found = measured(metrics, torch.tensor([0.0, 2.0]), a=torch.tensor([1.0, 2.0]))
    expected = {"rmse": sqrt((9 + 1 + 0) / 3), "mae": 4 / 3, "r2": 1 - 10 / (14 / 3), "rank_correlation": 0.5}
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("mean", [0.0, 1e7])
def test_r2_over_batches_and_processes_is_that_of_all_rows(mean: float) -> None:
    """Batches, empty ones too, and the parts of processes add up to the formula's value, also far from 0."""
    labels = torch.randn(900, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + mean
    scores = labels + torch.linspace(-1, 1, 900, dtype=torch.float64)
    metric, idle = R2(), R2()
    for batch in (slice(0, 1), slice(1, 1), slice(1, 700), slice(700, 900)):
        metric.update(scores[batch], labels[batch])
    expected = 1 - float((scores - labels).square().sum() / (labels - labels.mean()).square().sum())
    assert float(metric.compute() or nan) == pytest.approx(expected, rel=1e-9)
    merged = merged_moments(torch.stack([idle.labels, metric.labels, metric.labels]))
    assert merged[0] == 1800
    assert float(merged[2]) == pytest.approx(2 * float(metric.labels[2]), rel=1e-9)
    assert sum(state.numel() for state in (metric.labels, metric.errors)) == 4


def test_equal_labels_have_no_r2() -> None:
    """A spread of exactly 0, not one of rounding, over any number of batches; the same without rows."""
    metric = R2()
    metric.update(torch.zeros(0), torch.zeros(0))
    assert metric.compute() is None
    metric = R2()
    for rows in (3, 7, 100):
        metric.update(torch.zeros(rows), torch.full((rows,), 0.1))
    assert metric.compute() is None


def test_multiclass_tasks_have_log_loss_and_accuracy() -> None:
    """-log softmax(l)_y, and the share of rows whose highest logit is the label's."""
    outputs = torch.tensor([[log(0.5), log(0.3), log(0.2)], [log(0.1), log(0.6), log(0.3)]])
    found = measured(metrics_of("{kind: multiclass, classes: 3}"), outputs, a=torch.tensor([0, 2]))
    assert found == pytest.approx({"log_loss": -(log(0.5) + log(0.3)) / 2, "accuracy": 0.5}, abs=1e-6)


@pytest.mark.parametrize("task", ["binary", "regression", "multiclass, classes: 2"])
def test_rows_outside_the_sample_space_do_not_count(task: str) -> None:
    """With `when`, only rows of the sample space count, whatever the labels of other rows are."""
    outputs = torch.randn(4, *([2] if "classes" in task else []), generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([1, 0, -1, 1]) if "classes" in task else torch.tensor([1.0, 0.0, float("nan"), 1.0])
    inside = torch.tensor([1, 1, 0, 1])
    found = measured(metrics_of(f"{{kind: {task}, when: seen}}"), outputs, a=labels, seen=inside)
    mine = inside == 1
    assert found == measured(metrics_of(f"{{kind: {task}}}"), outputs[mine], a=labels[mine])
    assert len(found) > 1


@pytest.mark.parametrize("task", ["binary", "regression", "multiclass, classes: 2"])
def test_an_empty_sample_space_has_no_value(task: str) -> None:
    """Without rows there is no metric, neither NaN nor 0; a later batch with rows adds it."""
    metrics = metrics_of(f"{{kind: {task}, when: seen}}", grouped_by="user")
    outputs = torch.zeros(3, *([2] if "classes" in task else []))
    batch = {"a": torch.tensor([0, 1, 0]), "seen": torch.zeros(3), "user": torch.ones(3, dtype=torch.int64)}
    assert measured(metrics, outputs, **batch) == {}
    assert len(measured(metrics, outputs, **{**batch, "seen": torch.ones(3)})) >= 2


def test_one_class_has_a_log_loss_and_no_area() -> None:
    """Metrics without a value are omitted; the others are reported."""
    found = measured(metrics_of("{kind: binary}", "user"), torch.zeros(2), a=torch.ones(2), user=torch.tensor([1, 1]))
    assert found == pytest.approx({"log_loss": log(2), "pcoc": 0.5, "ece": 0.5, "ndcg@10": 1, "recall@10": 1})


def test_row_weights_do_not_weigh_metrics() -> None:
    """`weight_column` affects losses only: a metric counts every row once."""
    outputs, labels = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])
    found = measured(metrics_of("{kind: regression, weight_column: v}"), outputs, a=labels, v=torch.tensor([9.0, 0.0]))
    assert found["mae"] == pytest.approx(2.0)


def test_grouped_area_goes_by_the_column() -> None:
    """Rows outside the sample space belong to no group."""
    metrics = metrics_of("{kind: binary, when: seen}", grouped_by="user")
    found = measured(
        metrics,
        torch.tensor([0.1, 0.2, 0.3, 0.4]),
        a=torch.tensor([0, 1, 1, 0]),
        seen=torch.tensor([1, 1, 1, 0]),
        user=torch.tensor([5, 5, 6, 6]),
    )
    assert found["grouped_auc"] == 1.0


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({}, KeyError, "grouped_by: there is no column `user`; the batch has `a`"),
        ({"user": torch.ones(2)}, ValueError, r"grouped_by: column `user` is torch.float32 of shape \[2\], not one"),
        ({"user": torch.ones(2, 1, dtype=torch.int64)}, ValueError, r"of shape \[2, 1\], not one integer"),
    ],
)
def test_a_column_that_cannot_group_is_refused(
    columns: dict[str, Tensor], error: type[Exception], message: str
) -> None:
    """The error names the column, and either the batch's columns or what is wrong with it."""
    with pytest.raises(error, match=message):
        measured(metrics_of("{kind: binary}", "user"), torch.zeros(2), a=torch.ones(2), **columns)


def spearman(scores: list[float], labels: list[float]) -> float:
    """Spearman's correlation by definition: Pearson's correlation of mean ranks, found by counting."""

    def ranks(values: list[float]) -> list[float]:
        return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]

    a, b = ranks(scores), ranks(labels)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    return covariance / sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))


def test_rank_correlation_counts_ties_half() -> None:
    """Equal predictions and labels get their mean rank; if all are equal, there is no value."""
    scores, labels = [0.5, 1.0, 0.5, 3.0, 2.0, 2.0], [0.0, 0.0, 1.0, 4.0, 1.0, 2.0]
    found = measured(metrics_of("{kind: regression}"), torch.tensor(scores), a=torch.tensor(labels))
    assert found["rank_correlation"] == pytest.approx(spearman(scores, labels), abs=1e-6)
    found = measured(metrics_of("{kind: regression}"), torch.tensor(scores), a=torch.ones(6))
    assert set(found) == {"rmse", "mae"}


def test_calibration_error_is_over_bins_of_equal_counts() -> None:
    """40 rows give 20 bins of two; equal predictions share a bin in any row order; calibrated ones have error 0."""
    p = torch.linspace(0.05, 0.95, 40, dtype=torch.float64)
    labels = (torch.arange(40) % 3 == 0).double()
    gaps = (p - labels).reshape(20, 2).sum(1).abs().sum() / 40
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    found = measured(metrics_of("{kind: binary}"), p.logit()[order], a=labels[order])
    assert found["ece"] == pytest.approx(gaps.item(), abs=1e-6)
    even = measured(metrics_of("{kind: binary}"), torch.zeros(4), a=torch.tensor([1.0, 0.0, 1.0, 0.0]))
    assert even["ece"] == pytest.approx(0, abs=1e-7)


def test_metrics_of_values_read_predictions_not_outputs() -> None:
    """A Poisson task is measured by its expected counts, a quantile by the share of labels below it."""
    counts = measured(metrics_of("{kind: poisson}"), torch.tensor([0.0, log(2)]), a=torch.tensor([1.0, 5.0]))
    assert counts["mae"] == pytest.approx(1.5)
    assert counts["pcoc"] == pytest.approx(0.5)
    found = measured(
        metrics_of("{kind: quantile, q: 0.5}"), torch.tensor([0.0, 2.0, 5.0]), a=torch.tensor([1.0, 2.0, 0.0])
    )
    assert found == pytest.approx({"mae": 2.0, "coverage": 2 / 3})
    stars = measured(
        metrics_of("{kind: ordinal, classes: 3}"), torch.tensor([[9.0, 9.0], [-9.0, 9.0]]), a=torch.tensor([2, 1])
    )
    assert stars["accuracy"] == 0.5


def test_calibration_without_positive_rows_has_no_value() -> None:
    """PCOC divides by the sum of labels: without a positive label it is omitted."""
    found = measured(metrics_of("{kind: binary}"), torch.zeros(3), a=torch.zeros(3))
    assert "pcoc" not in found
    assert found["ece"] == pytest.approx(0.5)
