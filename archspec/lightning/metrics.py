"""The metrics of a task, by its kind: torchmetrics over the rows of its sample space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric
from torchmetrics.utilities import dim_zero_cat

from archspec.lightning.grouped_auc import AUC, mean_ranks
from archspec.lightning.ranking import GroupedRanking
from archspec.program.columns import NO_GROUP
from archspec.train.rows import Columns, listed, predictions, task_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from archspec.contract import TaskKind
    from archspec.spec.spec import TaskBlock


class RowMean(Metric):
    """The mean of `values` over rows; None without rows."""

    full_state_update = False

    total: Tensor
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("rows", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def values(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """One number per row, `[B]`."""
        raise NotImplementedError

    def update(self, outputs: Tensor, labels: Tensor) -> None:
        """Adds a batch: outputs `[B]` or `[B, classes]`, labels `[B]`."""
        self.total += self.values(outputs, labels).sum()
        self.rows += len(labels)

    def compute(self) -> Tensor | None:
        """The mean `[]` over the rows of all processes."""
        return self.total / self.rows if self.rows > 0 else None


class LogLoss(RowMean):
    """Mean of -log p(label), from logits: `[B]` for a binary task, `[B, classes]` for a multiclass one."""

    higher_is_better = False
    is_differentiable = True

    def values(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """The logistic loss, or the cross entropy."""
        if outputs.dim() == 1:
            return binary_cross_entropy_with_logits(outputs, labels.to(outputs.dtype), reduction="none")
        return cross_entropy(outputs, labels.long(), reduction="none")


class Accuracy(RowMean):
    """The share of rows whose predicted class is the label; that of torchmetrics fails without rows.

    The class is that of the highest of `[B, classes]`, or a number `[B]`, rounded.
    """

    higher_is_better = True
    is_differentiable = False

    def values(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """1 if right, else 0."""
        return ((outputs.round() if outputs.dim() == 1 else outputs.argmax(1)) == labels).float()


class Coverage(RowMean):
    """The share of rows whose label is at most the predicted quantile; for right predictions, the task's `q`."""

    is_differentiable = False

    def values(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """1 if the label is at most the prediction, else 0."""
        return (labels <= outputs).float()


class PCOC(Metric):
    """Predicted over observed: sum of predictions divided by sum of labels; 1 if predictions are right on average.

    (He et al., Practical lessons from predicting clicks on ads at Facebook, ADKDD 2014, 2.1: calibration.) Sums are in
    float64. `compute()` returns `[]`, or None if the labels add up to 0.
    """

    higher_is_better = None
    is_differentiable = False
    full_state_update = False

    predicted: Tensor
    observed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("predicted", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("observed", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Adds a batch: predictions and labels, `[B]` each."""
        self.predicted += scores.double().sum()
        self.observed += labels.double().sum()

    def compute(self) -> Tensor | None:
        """The ratio over the rows of all processes."""
        return self.predicted / self.observed if self.observed != 0 else None


class R2(Metric):
    """The share of the labels' variance that predictions explain: 1 - sum (y - v)^2 / sum (y - mean y)^2.

    Stores four numbers in float64, whatever the number of rows. The squared deviations of parts are merged around their
    common mean (Chan, Golub and LeVeque, Updating formulae, 1979, 2.1), so a large mean does not cost digits.
    `compute()` returns `[]`, or None if all labels are equal.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False

    labels: Tensor
    errors: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("labels", torch.zeros(3, dtype=torch.float64), dist_reduce_fx=merged_moments)
        self.add_state("errors", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Adds a batch: predictions and labels, `[B]` each."""
        labels = labels.double()
        rows = torch.stack([torch.ones_like(labels), labels, torch.zeros_like(labels)], 1)
        self.labels = merged_moments(torch.cat([self.labels[None], rows]))
        self.errors += (labels - scores.double()).square().sum()

    def compute(self) -> Tensor | None:
        """The share over the rows of all processes."""
        spread = self.labels[2]
        return 1 - self.errors / spread if spread > 0 else None


def merged_moments(parts: Tensor) -> Tensor:
    """Number of values, mean and sum of squared deviations of all parts together, `[3]`, from those of each, `[N, 3]`.

    Means are relative to that of the largest part, so the deviation of equal values is exactly 0.
    """
    counts, means, squares = parts.unbind(1)
    origin = means[counts.argmax()]
    shifts = torch.where(counts > 0, means - origin, 0)
    total = counts.sum()
    shift = (counts * shifts).sum() / total.clamp(min=1)
    return torch.stack([total, origin + shift, (squares + counts * (shifts - shift).square()).sum()])


class Stored(Metric):
    """The base class of metrics that need all rows: stores a prediction and a label per row, usually 8 bytes."""

    is_differentiable = False
    full_state_update = False

    scores: list[Tensor]
    labels: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("scores", [], dist_reduce_fx="cat")
        self.add_state("labels", [], dist_reduce_fx="cat")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Adds a batch: predictions and labels, `[B]` each."""
        self.scores.append(scores.detach())
        self.labels.append(labels.float())

    def compute(self) -> Tensor | None:
        """The metric over the rows of all processes, `[]`; None without rows."""
        scores, labels = dim_zero_cat(self.scores), dim_zero_cat(self.labels)
        return self.measured(scores, labels) if len(scores) else None

    def measured(self, scores: Tensor, labels: Tensor) -> Tensor | None:
        """The metric of all rows, `[N]` each."""
        raise NotImplementedError


class ECE(Stored):
    """Expected calibration error over 20 bins with equal numbers of rows: sum_b rows_b / rows |mean p - mean y|.

    Rows are binned by the rank of their prediction; equal predictions are in one bin. (Naeini et al., AAAI 2015.)
    """

    higher_is_better = False
    bins = 20

    def measured(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Returns `[]` in float64."""
        rank = mean_ranks(scores)
        index = ((rank - 0.5) / len(scores) * self.bins).long().clamp(0, self.bins - 1)
        gaps = torch.zeros(self.bins, dtype=torch.float64, device=scores.device)
        return gaps.index_add(0, index, scores.double() - labels.double()).abs().sum() / len(scores)


class RankCorrelation(Stored):
    """Spearman's rank correlation of predictions and labels; equal values have their mean rank."""

    higher_is_better = True

    def measured(self, scores: Tensor, labels: Tensor) -> Tensor | None:
        """Returns `[]` in float64; None if all predictions or all labels are equal."""
        ranks = torch.stack([mean_ranks(scores), mean_ranks(labels)])
        ranks = ranks - ranks.mean(1, keepdim=True)
        spread = ranks.square().sum(1).prod()
        return (ranks[0] * ranks[1]).sum() / spread.sqrt() if spread > 0 else None


class NormalizedEntropy(LogLoss):
    """Log loss divided by that of always predicting the mean label q (He et al., ADKDD 2014, eq. 3).

    NE = mean(-y log p - (1 - y) log(1 - p)) / (-q log q - (1 - q) log(1 - q))
    """

    labels: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("labels", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, outputs: Tensor, labels: Tensor) -> None:
        """Adds a batch: logits and labels, `[B]` each."""
        super().update(outputs, labels)
        self.labels += labels.to(outputs.dtype).sum()

    def compute(self) -> Tensor | None:
        """The ratio `[]`; None if all labels are 0, or all are 1."""
        loss = super().compute()
        q = self.labels / self.rows
        if loss is None or not 0 < q < 1:
            return None
        ratio: Tensor = loss / -(torch.xlogy(q, q) + torch.xlogy(1 - q, 1 - q))
        return ratio


class RowCount(Metric):
    """The number of rows seen; a metric without rows has no value."""

    full_state_update = False
    rows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("rows", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, rows: int) -> None:
        """Adds rows."""
        self.rows += rows

    def compute(self) -> Tensor:
        """The sum `[]`."""
        return self.rows


METRICS: Mapping[str, tuple[Callable[[], Metric], Literal["logits", "scores"]]] = {
    "auc": (AUC, "logits"),
    "log_loss": (LogLoss, "logits"),
    "normalized_entropy": (NormalizedEntropy, "logits"),
    "pcoc": (PCOC, "scores"),
    "ece": (ECE, "scores"),
    "rmse": (lambda: MeanSquaredError(squared=False), "scores"),
    "mae": (MeanAbsoluteError, "scores"),
    "r2": (R2, "scores"),
    "rank_correlation": (RankCorrelation, "scores"),
    "accuracy": (Accuracy, "scores"),
    "coverage": (Coverage, "scores"),
}
"""The metrics that a kind of task may name, and whether they read its outputs or its predictions."""


NO_GAINS: Final = "has one prediction and labels of at least 0, by which rows of a group are ranked"
"""Of no task: why a column of groups has no use."""


class TaskMetrics(nn.Module):
    """The metrics of one task over the rows of its sample space, unweighted: those that its kind names.

    If `grouped_by` names a column, a task with gains (see `has_gains`) also has `ndcg@k` and `recall@k` within its
    groups, with k = `top`, and a binary one `grouped_auc`.
    """

    def __init__(self, block: TaskBlock, grouped_by: str | None = None, top: int = 10) -> None:
        super().__init__()
        self.block = block
        self.grouped_by = grouped_by if has_gains(block.settings) else None
        self.rows = RowCount()
        self.metrics = nn.ModuleDict({name: METRICS[name][0]() for name in block.settings.metrics})
        self.grouped = GroupedRanking(top, area=block.settings.output == "binary") if self.grouped_by else None

    def names(self) -> tuple[str, ...]:
        """The metrics that may have a value, and `loss`."""
        return ("loss", *self.metrics, *(() if self.grouped is None else self.grouped.names()))

    def update(self, logits: Columns, batch: Columns) -> None:
        """Adds a batch.

        Raises:
            KeyError: an output or a column is missing.
            ValueError: the column to group by does not contain one integer per row.
        """
        outputs, labels, inside = task_rows(self.block, logits, batch)
        if inside is not None:
            outputs, labels = outputs[inside], labels[inside]
        self._add(outputs, labels)
        if self.grouped is not None and self.grouped_by is not None:
            groups = group_ids(batch, self.grouped_by)
            groups = groups if inside is None else groups[inside]
            known = groups != NO_GROUP
            # Logits also rank rows whose probabilities are equal in single precision.
            scores = outputs if self.grouped.area else predictions(self.block.settings, outputs)
            self.grouped.update(scores[known], labels[known], groups[known])

    def update_with_nothing(self) -> None:
        """Adds a batch without rows."""
        outputs = self.block.settings.outputs()
        nothing = torch.zeros(0, device=self.rows.rows.device)
        self._add(nothing if outputs == 1 else nothing.reshape(0, outputs), nothing)
        if self.grouped is not None:
            self.grouped.update(nothing, nothing, nothing)

    def _add(self, outputs: Tensor, labels: Tensor) -> None:
        self.rows.update(len(labels))
        read = {"logits": outputs, "scores": predictions(self.block.settings, outputs)}
        for name, metric in self.metrics.items():
            _metric(metric).update(read[METRICS[name][1]], labels)

    def compute(self) -> dict[str, Tensor]:
        """The metrics that have a value, by name: none without rows, no AUC with only one class. Collective."""
        found = {name: _metric(metric).compute() for name, metric in self.metrics.items()}
        if self.grouped is not None:
            found |= self.grouped.compute()
        if not self.rows.compute():
            return {}
        device = self.rows.rows.device
        return {name: value.float().to(device) for name, value in found.items() if value is not None}


def has_gains(kind: TaskKind) -> bool:
    """Whether labels are gains for ranking rows: numbers of at least 0, next to a prediction that is one number."""
    bounded = kind.class_count() is not None or (kind.lowest is not None and kind.lowest >= 0)
    return bounded and kind.output != "multiclass"


def group_ids(batch: Columns, name: str) -> Tensor:
    """The column of group ids, `[B]`.

    Raises:
        KeyError: the batch does not contain it; the message names it and the batch's columns.
        ValueError: it does not contain integers, or has another shape.
    """
    if name not in batch:
        raise KeyError(f"grouped_by: there is no column `{name}`; the batch has {listed(batch)}")
    groups = batch[name]
    if groups.dim() != 1 or groups.is_floating_point():
        raise ValueError(
            f"grouped_by: column `{name}` is {groups.dtype} of shape {list(groups.shape)}, not one integer per row"
        )
    return groups


def _metric(module: nn.Module) -> Any:  # noqa: ANN401 - a Metric; the arguments of update depend on the class
    return module
