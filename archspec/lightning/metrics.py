"""The metrics of a task, by its kind: torchmetrics over the rows of its sample space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torchmetrics import MeanAbsoluteError, MeanSquaredError, Metric

from archspec.data.encodings import NO_GROUP
from archspec.lightning.grouped_auc import AUC, GroupedAUC
from archspec.train.rows import Columns, listed, task_rows

if TYPE_CHECKING:
    from archspec.spec.spec import Task, TaskBlock


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
    """The share of rows whose highest logit of `[B, classes]` is the label's; torchmetrics' own fails for no rows."""

    higher_is_better = True
    is_differentiable = False

    def values(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """1 if right, else 0."""
        return (outputs.argmax(1) == labels).float()


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


class TaskMetrics(nn.Module):
    """The metrics of one task over the rows of its sample space, unweighted.

    binary: `auc, log_loss, normalized_entropy`, and `grouped_auc` if `grouped_by` names a column;
    regression: `rmse, mae`; multiclass: `log_loss, accuracy`.
    """

    def __init__(self, block: TaskBlock, grouped_by: str | None = None) -> None:
        super().__init__()
        self.block = block
        self.grouped_by = grouped_by if block.task.kind == "binary" else None
        self.rows = RowCount()
        self.metrics = nn.ModuleDict(_metrics_of(block.task))
        self.grouped = GroupedAUC() if self.grouped_by else None

    def names(self) -> tuple[str, ...]:
        """The metrics that may have a value, and `loss`."""
        return ("loss", *self.metrics, *(["grouped_auc"] if self.grouped is not None else []))

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
            self.grouped.update(outputs[known], labels[known], groups[known])

    def update_with_nothing(self) -> None:
        """Adds a batch without rows."""
        classes = self.block.task.classes
        nothing = torch.zeros(0, device=self.rows.rows.device)
        self._add(nothing if classes is None else nothing.reshape(0, classes), nothing)
        if self.grouped is not None:
            self.grouped.update(nothing, nothing, nothing)

    def _add(self, outputs: Tensor, labels: Tensor) -> None:
        self.rows.update(len(labels))
        for metric in self.metrics.values():
            _metric(metric).update(outputs, labels)

    def compute(self) -> dict[str, Tensor]:
        """The metrics that have a value, by name: none without rows, no AUC with only one class. Collective."""
        found = {name: _metric(metric).compute() for name, metric in self.metrics.items()}
        if self.grouped is not None:
            found["grouped_auc"] = self.grouped.compute()
        if not self.rows.compute():
            return {}
        device = self.rows.rows.device
        return {name: value.float().to(device) for name, value in found.items() if value is not None}


def group_ids(batch: Columns, name: str) -> Tensor:
    """The column of group ids, `[B]`.

    Raises:
        KeyError: the batch does not contain it; the message names it and the batch's columns.
        ValueError: it does not contain integers, or has another shape.
    """
    if name not in batch:
        raise KeyError(f"grouped_by: there is no column `{name}`; the batch holds {listed(batch)}")
    groups = batch[name]
    if groups.dim() != 1 or groups.is_floating_point():
        raise ValueError(
            f"grouped_by: column `{name}` holds {groups.dtype} of shape {list(groups.shape)}, not one integer per row"
        )
    return groups


def _metrics_of(task: Task) -> dict[str, Metric]:
    match task.kind:
        case "binary":
            return {"auc": AUC(), "log_loss": LogLoss(), "normalized_entropy": NormalizedEntropy()}
        case "regression":
            return {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()}
        case _:
            return {"log_loss": LogLoss(), "accuracy": Accuracy()}


def _metric(module: nn.Module) -> Any:  # noqa: ANN401 - a Metric, whose update takes what its class says
    return module
