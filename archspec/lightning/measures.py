"""The results of a pass over rows: losses, metrics and gate weights, over the batches of all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from archspec.lightning.metrics import RowCount, TaskMetrics
from archspec.train.gates import GateSums

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.spec.spec import Spec
    from archspec.train.criterion import MultiTaskLoss
    from archspec.train.rows import Columns


class MeanLosses(Metric):
    """Each task's loss over all batches: sums over its sample space, and the divisors, `[T]` each."""

    full_state_update = False

    totals: Tensor
    counts: Tensor

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.add_state("totals", torch.zeros(tasks), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(tasks), dist_reduce_fx="sum")

    def update(self, totals: Tensor, counts: Tensor) -> None:
        """Adds the sums of a batch from `MultiTaskLoss.sums`."""
        self.totals += totals
        self.counts += counts

    def compute(self) -> Tensor:
        """The means (0 if nothing was counted), and 1 for tasks with rows: `[2, T]`.

        This is one tensor, not a pair, because torchmetrics turns each tensor with a single number into a scalar, and a
        spec may have one task.
        """
        counted = self.counts > 0
        return torch.stack([self.totals / torch.where(counted, self.counts, 1), counted.to(self.totals.dtype)])


class GroupedMeasures(nn.Module):
    """The `Measures` of all rows, and those of each group of rows alone.

    A group keeps what its metrics need; for metrics that rank rows, all groups together keep every row once more.

    Args:
        spec: defines tasks.
        grouped_by: see `TaskMetrics`.
        top: see `TaskMetrics`.
    """

    def __init__(self, spec: Spec, grouped_by: str | None = None, top: int = 10) -> None:
        super().__init__()
        self.spec, self.grouped_by, self.top = spec, grouped_by, top
        self.whole = CountedMeasures(spec, grouped_by, top)
        self.groups = nn.ModuleList()

    def add(self, logits: Columns, batch: Columns, groups: Tensor | None, criterion: MultiTaskLoss) -> None:
        """Adds a batch: the model's logits, and the number of each row's group, `[B]`, from 0; None: without groups."""
        self.whole.add(logits, batch, criterion)
        for number in () if groups is None else torch.unique(groups).tolist():
            rows = (groups == number).nonzero().squeeze(1)
            self.of(number).add(_rows_of(logits, rows), _rows_of(batch, rows), criterion)

    def of(self, number: int) -> CountedMeasures:
        """The measures of a group. In several processes, each must compute those of all groups, in the same order."""
        while len(self.groups) <= number:
            self.groups.append(CountedMeasures(self.spec, self.grouped_by, self.top).to(self.whole.device()))
        found = self.groups[number]
        assert isinstance(found, CountedMeasures)
        return found


def _rows_of(columns: Columns, rows: Tensor) -> dict[str, Tensor]:
    return {name: values[rows] for name, values in columns.items()}


class CountedMeasures(nn.Module):
    """`Measures`, and the number of rows."""

    def __init__(self, spec: Spec, grouped_by: str | None = None, top: int = 10) -> None:
        super().__init__()
        self.rows = RowCount()
        self.measures = Measures(spec, grouped_by, top)
        self.rows.update(0)

    def add(self, logits: Columns, batch: Columns, criterion: MultiTaskLoss) -> None:
        """Adds a batch."""
        self.rows.update(len(next(iter(batch.values()))))
        self.measures.add(logits, batch, {}, criterion)

    def device(self) -> torch.device:
        """Where the counts are."""
        return self.rows.rows.device


class Measures(nn.Module):
    """Losses and metrics of all tasks, and mean gate weights, of one pass.

    Args:
        spec: defines tasks and gates.
        grouped_by: see `TaskMetrics`.
        top: see `TaskMetrics`.
    """

    def __init__(self, spec: Spec, grouped_by: str | None = None, top: int = 10) -> None:
        super().__init__()
        self.spec, self.grouped_by, self.top = spec, grouped_by, top
        self.losses = MeanLosses(len(spec.tasks))
        self.tasks = nn.ModuleList(TaskMetrics(block, grouped_by, top) for block in spec.tasks.values())
        self.gates = GateSums()
        self._added = False

    def names(self) -> tuple[str, ...]:
        """The names that may have a value: `loss`, `task_losses`, and `<task>/<metric>`, but not gate weights."""
        return (
            "loss",
            "task_losses",
            *(f"{metrics.block.name}/{name}" for metrics in self._tasks() for name in metrics.names()),
        )

    def add(self, logits: Columns, batch: Columns, gates: Columns, criterion: MultiTaskLoss) -> None:
        """Adds a batch: the model's logits, and the weights of its gates, if they are logged.

        Raises:
            KeyError: an output or a column is missing.
            ValueError: a label or a group's id is invalid.
        """
        self._added = True
        self.losses.update(*criterion.sums(logits, batch))
        for metrics in self._tasks():
            metrics.update(logits, batch)
        if gates:
            self.gates.add(gates, len(next(iter(batch.values()))))

    def found(self, criterion: MultiTaskLoss) -> dict[str, Tensor | float]:
        """The results that have a value, by name; the same in all processes. Collective."""
        if not self._added:
            self._add_nothing()
        losses, counted = self.losses.compute()
        values: dict[str, Tensor | float] = {}
        if counted.any():
            values = {"loss": criterion.total(losses, counted > 0), "task_losses": criterion.unbalanced(losses)}
        for metrics, loss, known in zip(self._tasks(), losses, counted > 0, strict=True):
            own = ({"loss": loss} if known else {}) | metrics.compute()
            values |= {f"{metrics.block.name}/{name}": value for name, value in own.items()}
        gates = self.gates.everywhere() if self.gates.sums else self.gates  # also where this process has no rows
        if gates.rows:
            for gate in gates.statistics(self.spec):
                means = zip(gate.experts, gate.means, strict=True)
                values |= {f"gates/{gate.gate}/{expert}": mean for expert, mean in means}
        return values

    def reset(self) -> None:
        """Forgets all batches."""
        for module in self.modules():
            if isinstance(module, Metric):
                module.reset()
        self.gates = GateSums()
        self._added = False

    def _add_nothing(self) -> None:
        """Adds a batch without rows: otherwise torchmetrics warns, or waits for other processes that had a batch."""
        nothing = torch.zeros_like(self.losses.totals)
        self.losses.update(nothing, nothing)
        for metrics in self._tasks():
            metrics.update_with_nothing()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002 - as nn.Module
        """Moves sums between devices, but never to half precision, in which a sum over rows soon stops growing."""
        moved: Self = super()._apply(lambda value: fn(value).to(value.dtype), recurse)  # type: ignore[no-untyped-call] # torch's own
        return moved

    def _tasks(self) -> tuple[TaskMetrics, ...]:
        return tuple(module for module in self.tasks if isinstance(module, TaskMetrics))
