"""A task's loss on a batch: reads and checks labels, and excludes rows outside the sample space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from archspec.contract import LossKind, overrides
from archspec.diagnostics import SpecError
from archspec.graph.calls import wrong_result_of

if TYPE_CHECKING:
    from archspec.spec.spec import Block, Task, TaskBlock

Columns = Mapping[str, Tensor]


def task_sums(block: TaskBlock, logits: Columns, batch: Columns, *, check: bool) -> tuple[Tensor, Tensor]:
    """Sum of a task's losses over its sample space, each row times its weight, and the sum of the weights: `[]` each.

    Args:
        block: the task; several losses of one task are added.
        logits: outputs of the model by name, `[B]` or `[B, classes]`.
        batch: the columns with labels, sample spaces and row weights.
        check: check shapes, types and ranges of labels; costs one synchronisation with the device per task.

    Raises:
        KeyError: the output or a column is missing.
        ValueError: a column has a wrong shape, type or value (with `check`).
        SpecError: AS502: a plugin's loss does not return one number per row.
    """
    outputs = _outputs(block, logits)
    labels = _column(block, batch, block.task.label or block.name, "label column")
    weights = _row_weights(block, batch, outputs, check=check)
    if block.task.missing_labels == "mask":
        if check:
            _check_shape(block, labels, block.task.label or block.name, outputs)
        known = has_label(block.task, labels).to(outputs.dtype)
        weights = known if weights is None else weights * known
    inside = None if weights is None else weights > 0
    if check:
        _check_labels(block, labels, outputs, inside)
    # Labels outside the sample space may be anything, such as NaN or -1, and must not reach the loss or its gradient.
    legal = labels if inside is None else torch.where(inside, labels, torch.zeros_like(labels))
    rows = _row_losses(block, outputs, legal, logits, batch)
    if weights is None or inside is None:
        return rows.sum(), rows.new_full((), rows.shape[0])
    return (torch.where(inside, rows, torch.zeros_like(rows)) * weights).sum(), weights.sum()


def task_rows(block: TaskBlock, logits: Columns, batch: Columns) -> tuple[Tensor, Tensor, Tensor | None]:
    """A task's outputs and labels, and which rows `[B]` are in its sample space (None: all), for metrics.

    If a `joint` loss determines which rows have a label, rows whose label is missing are excluded.

    Raises:
        KeyError: the output or a column is missing.
    """
    outputs = _outputs(block, logits)
    labels = _column(block, batch, block.task.label or block.name, "label column")
    inside = None if block.task.when is None else _column(block, batch, block.task.when, "`when` column") == 1
    if any(_joint(loss.settings) for loss in block.losses):
        fits, _ = _range(block.task, labels)
        inside = fits if inside is None else inside & fits
    if block.task.missing_labels == "mask":
        known = has_label(block.task, labels)
        inside = known if inside is None else inside & known
    return outputs, labels, inside


def has_label(task: Task, labels: Tensor) -> Tensor:
    """Which rows `[B]` have a label: it is not NaN and, except for regression, not -1."""
    known = ~labels.isnan()
    return known if task.kind == "regression" else known & (labels != -1)


def _outputs(block: TaskBlock, logits: Columns) -> Tensor:
    if block.name not in logits:
        raise KeyError(f"task `{block.name}` needs the model's output `{block.name}`; it gave {listed(logits)}")
    outputs = logits[block.name]
    # Sums of half precision losses would lose most digits.
    return outputs.float() if outputs.dtype in {torch.float16, torch.bfloat16} else outputs


def _row_losses(block: TaskBlock, outputs: Tensor, labels: Tensor, logits: Columns, batch: Columns) -> Tensor:
    """The sum of the task's losses for each row, `[B]`; a `joint` loss also reads other outputs and columns."""
    found = []
    for loss in block.losses:
        rows: object
        if _joint(loss.settings):
            rows = _joint_losses(block, loss, (outputs, labels, logits, batch))
        else:
            rows = loss.settings.rows(_read(block, loss.settings, outputs), labels)
        if not isinstance(rows, Tensor) or rows.shape != outputs.shape[:1]:
            method, wanted = "joint" if _joint(loss.settings) else "rows", list(outputs.shape[:1])
            problem = f"returns {shown(rows)} from `{method}`, which must be one loss per row, {wanted}"
            raise SpecError([wrong_result_of(loss, f"a loss of task `{block.name}`", problem)])
        found.append(rows)
    return torch.stack(found).sum(0)


def shown(made: object) -> str:
    """A tensor by its shape, anything else by its type."""
    return f"a tensor {list(made.shape)}" if isinstance(made, Tensor) else f"a `{type(made).__name__}`"


def _read(block: TaskBlock, kind: LossKind, outputs: Tensor) -> Tensor:
    """The outputs that a loss reads: logits, or, if it reads scores, the probability of a binary task."""
    scores = kind.reads == "scores"
    return outputs.sigmoid() if scores and block.task.kind == "binary" else outputs


def _joint_losses(block: TaskBlock, loss: Block, read: tuple[Tensor, Tensor, Columns, Columns]) -> Tensor:
    """The losses `[B]` of a loss that reads other outputs and columns; the error for a missing one names the task."""
    try:
        rows: Tensor = loss.settings.joint(*read)
    except KeyError as error:
        _, _, logits, batch = read
        raise KeyError(
            f"the loss `{loss.kind}` of task `{block.name}` needs `{error.args[0] if error.args else ''}`; "
            f"the batch holds {listed(batch)}, and the model's outputs are {listed(logits)}"
        ) from error
    return rows


def _joint(kind: LossKind) -> bool:
    return overrides(kind, LossKind.joint)


def _row_weights(block: TaskBlock, batch: Columns, outputs: Tensor, *, check: bool) -> Tensor | None:
    """Weight of each row, `[B]`; 0 outside the sample space; None if every row has weight 1."""
    weights: Tensor | None = None
    if block.task.when is not None:
        space = _column(block, batch, block.task.when, "`when` column")
        if check:
            _check_shape(block, space, block.task.when, outputs)
        weights = (space == 1).to(outputs.dtype)
    if block.task.weight_column is not None:
        column = _column(block, batch, block.task.weight_column, "`weight_column`")
        if check:
            _check_shape(block, column, block.task.weight_column, outputs)
            bad = ~(torch.isfinite(column) & (column >= 0))
            _check_values(block, column, bad, block.task.weight_column, "is not a finite number from 0 up")
        weights = column.to(outputs.dtype) if weights is None else weights * column.to(outputs.dtype)
    return weights


def _column(block: TaskBlock, batch: Columns, name: str, what: str) -> Tensor:
    if name not in batch:
        raise KeyError(f"task `{block.name}` needs the {what} `{name}`; the batch holds {listed(batch)}")
    return batch[name]


def _check_labels(block: TaskBlock, labels: Tensor, outputs: Tensor, inside: Tensor | None) -> None:
    name = block.task.label or block.name
    _check_shape(block, labels, name, outputs)
    if block.task.kind == "multiclass" and labels.is_floating_point():
        raise ValueError(f"task `{block.name}`: column `{name}` holds {labels.dtype}, not class indices (integers)")
    if any(_joint(loss.settings) for loss in block.losses):
        return  # a joint loss determines which rows have a label
    fits, words = _range(block.task, labels)
    _check_values(block, labels, ~fits if inside is None else ~fits & inside, name, words)


def _range(task: Task, labels: Tensor) -> tuple[Tensor, str]:
    """Whether each label is legal, `[B]`, and the description of the legal range for the message."""
    match task.kind:
        case "binary":
            return (labels >= 0) & (labels <= 1), "is outside 0..1"
        case "multiclass":
            classes = task.classes or 0
            return (labels >= 0) & (labels < classes), f"is outside 0..{classes - 1}"
        case _:
            return torch.isfinite(labels), "is not a finite number"


def _check_shape(block: TaskBlock, column: Tensor, name: str, outputs: Tensor) -> None:
    if tuple(column.shape) != tuple(outputs.shape[:1]):
        raise ValueError(
            f"task `{block.name}`: column `{name}` has shape {list(column.shape)}, not {list(outputs.shape[:1])}"
        )


def _check_values(block: TaskBlock, column: Tensor, bad: Tensor, name: str, words: str) -> None:
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ValueError(f"task `{block.name}`: {column[row].item()} in row {row} of column `{name}` {words}")


def listed(columns: Columns) -> str:
    """The names in a batch or in a model's output, for an error."""
    return ", ".join(f"`{name}`" for name in columns) or "nothing"
