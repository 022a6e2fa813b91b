"""A task's loss on a batch: reads and checks labels, and excludes rows outside the sample space."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from archspec.contract import LossKind, overrides, selects_rows
from archspec.diagnostics import SpecError
from archspec.graph.calls import wrong_result_of
from archspec.program.columns import NO_GROUP, as_written

if TYPE_CHECKING:
    from archspec.contract import TaskKind
    from archspec.spec.spec import Block, TaskBlock

Columns = Mapping[str, Tensor]

_Read = tuple[Tensor, Tensor, Columns, Columns]
"""What a loss can read: the outputs and labels of its task, all outputs, and the batch."""


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
        known = has_label(block.settings, labels).to(outputs.dtype)
        weights = known if weights is None else weights * known
    inside = None if weights is None else weights > 0
    if check:
        _check_labels(block, labels, outputs, inside)
    # Labels outside the sample space may be anything, such as NaN or -1, and must not reach the loss or its gradient.
    legal = labels if inside is None else torch.where(inside, labels, torch.zeros_like(labels))
    rows = _row_losses(block, (outputs, legal, logits, batch), inside)
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
    if any(selects_rows(loss.settings) for loss in block.losses):
        fits, _ = _range(block.settings, labels)
        inside = fits if inside is None else inside & fits
    if block.task.missing_labels == "mask":
        known = has_label(block.settings, labels)
        inside = known if inside is None else inside & known
    return outputs, labels, inside


def has_label(kind: TaskKind, labels: Tensor) -> Tensor:
    """Which rows `[B]` have a label: it is not NaN and, unless labels may be any number, not -1."""
    known = ~labels.isnan()
    return known if kind.class_count() is None and kind.lowest is None else known & (labels != -1)


def predictions(kind: TaskKind, outputs: Tensor) -> Tensor:
    """What a task predicts, `[B]` (or `[B, classes]`), from its outputs, `[B]` or `[B, outputs]`; with gradients."""
    match kind.score:
        case "":
            return outputs
        case "sigmoid":
            return outputs.sigmoid()
        case "softmax":
            return outputs.softmax(-1)
        case function:
            module, _, name = function.rpartition(":")
            made: Tensor = getattr(import_module(module or "archspec.nn.functional"), name)(outputs)
            return made


def _outputs(block: TaskBlock, logits: Columns) -> Tensor:
    if block.name not in logits:
        raise KeyError(
            f"task `{block.name}` needs the model's output `{block.name}`, but the outputs are {listed(logits)}"
        )
    outputs = logits[block.name]
    # Sums of losses in half precision would lose most digits.
    return outputs.float() if outputs.dtype in {torch.float16, torch.bfloat16} else outputs


def _row_losses(block: TaskBlock, read: _Read, inside: Tensor | None) -> Tensor:
    """The sum of the task's losses for each row, `[B]`, each times its weight."""
    outputs = read[0]
    found = []
    for loss in block.losses:
        rows = _losses(block, loss, read, inside)
        if not isinstance(rows, Tensor) or rows.shape != outputs.shape[:1]:
            wanted = list(outputs.shape[:1])
            problem = f"returns {shown(rows)} from `{_method(loss.settings)}`, which must be one loss per row, {wanted}"
            raise SpecError([wrong_result_of(loss, f"a loss of task `{block.name}`", problem)])
        found.append(rows if loss.common.weight == 1 else rows * loss.common.weight)
    return torch.stack(found).sum(0)


def _method(kind: LossKind) -> str:
    """The method that a loss defines: `joint`, `within` or `rows`."""
    if overrides(kind, LossKind.joint):
        return "joint"
    return "within" if overrides(kind, LossKind.within) else "rows"


def shown(made: object) -> str:
    """Describes a tensor by its shape, anything else by its type."""
    return f"a tensor {list(made.shape)}" if isinstance(made, Tensor) else f"a `{type(made).__name__}`"


def _losses(block: TaskBlock, loss: Block, read: _Read, inside: Tensor | None) -> Any:  # noqa: ANN401 - a plugin may return anything
    """The losses `[B]` of one loss of a task."""
    kind, (outputs, labels, _, batch) = loss.settings, read
    match _method(kind):
        case "joint":
            return _joint_losses(block, loss, read)
        case "within":
            groups = _groups(block, loss, batch)
            space = torch.ones_like(groups, dtype=torch.bool) if inside is None else inside
            return kind.within(outputs, labels, groups, space)
        case _:
            return kind.rows(predictions(block.settings, outputs) if kind.reads == "scores" else outputs, labels)


def _groups(block: TaskBlock, loss: Block, batch: Columns) -> Tensor:
    """The group of each row, int64 `[B]`; a row without a group is its own group."""
    name = str(loss.settings.group)
    column = as_written(name) if as_written(name) in batch else name
    groups = _column(block, batch, column, f"column of groups of its loss `{loss.kind}`,")
    if groups.dim() != 1 or groups.is_floating_point():
        raise ValueError(
            f"task `{block.name}`: column `{name}`, which groups rows for the loss `{loss.kind}`, holds {groups.dtype} "
            f"of shape {list(groups.shape)}, not one integer per row"
        )
    alone = NO_GROUP + torch.arange(len(groups), device=groups.device)
    return torch.where(groups == NO_GROUP, alone, groups)


def _joint_losses(block: TaskBlock, loss: Block, read: _Read) -> Tensor:
    """The losses `[B]` of a loss that reads other outputs and columns; the error for a missing one names the task."""
    try:
        rows: Tensor = loss.settings.joint(*read)
    except KeyError as error:
        _, _, logits, batch = read
        raise KeyError(
            f"the loss `{loss.kind}` of task `{block.name}` needs `{error.args[0] if error.args else ''}`; "
            f"the batch has {listed(batch)}, and the model's outputs are {listed(logits)}"
        ) from error
    return rows


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
            _check_values(block, column, bad, block.task.weight_column, "is not a finite number of at least 0")
        weights = column.to(outputs.dtype) if weights is None else weights * column.to(outputs.dtype)
    return weights


def _column(block: TaskBlock, batch: Columns, name: str, what: str) -> Tensor:
    if name not in batch:
        raise KeyError(f"task `{block.name}` needs the {what} `{name}`, but the batch has {listed(batch)}")
    return batch[name]


def _check_labels(block: TaskBlock, labels: Tensor, outputs: Tensor, inside: Tensor | None) -> None:
    name = block.task.label or block.name
    _check_shape(block, labels, name, outputs)
    if block.settings.whole and labels.is_floating_point():
        raise ValueError(
            f"task `{block.name}`: column `{name}` has type {labels.dtype}, but class indices are integers"
        )
    if any(selects_rows(loss.settings) for loss in block.losses):
        return  # a joint loss determines which rows have a label
    fits, words = _range(block.settings, labels)
    _check_values(block, labels, ~fits if inside is None else ~fits & inside, name, words)


def _range(kind: TaskKind, labels: Tensor) -> tuple[Tensor, str]:
    """Whether each label is legal, `[B]`, and the description of the legal range for the message."""
    classes = kind.class_count()
    if classes is not None:
        return (labels >= 0) & (labels <= classes - 1), f"is outside 0..{classes - 1}"
    finite = torch.isfinite(labels)
    if kind.lowest is None:
        return finite, "is not a finite number"
    return finite & (labels >= kind.lowest), f"is not a finite number of at least {kind.lowest:g}"


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
