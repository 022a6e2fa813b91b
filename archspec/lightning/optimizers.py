"""Optimizers of dense parameters, of sparse tables, and of the parameters of the balance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch.optim import AdamW, Optimizer, SparseAdam

from archspec.train.choices import TableOptimizer
from archspec.train.groups import ParameterGroup, parameter_groups
from archspec.train.rowwise import RowWiseAdagrad

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from torch import nn

    from archspec.spec.spec import Spec
    from archspec.train.criterion import MultiTaskLoss

Optimizers = Optimizer | Sequence[Optimizer] | OptimizerLRSchedulerConfig
"""One optimizer, several, or one with its schedule: `{"optimizer": o, "lr_scheduler": s}`, as in Lightning."""
OptimizerHook = Callable[[list[ParameterGroup]], Optimizers]
"""Makes optimizers from all trainable groups; every group must be in exactly one optimizer."""

TABLE_OPTIMIZERS: Final[tuple[str, ...]] = get_args(TableOptimizer)

_FUSED = frozenset({"cpu", "cuda"})
"""Devices whose AdamW updates all parameters in one kernel."""


class BalanceGroup(ParameterGroup):
    """The parameters of the balance, such as log variances: never decayed, since there is nothing special about 0."""

    weight_decay: float


def learning_groups(model: nn.Module, criterion: MultiTaskLoss, spec: Spec) -> list[ParameterGroup]:
    """All trainable groups: the model's by category (see `archspec.parameter_groups`), and the balance's.

    The balance's group is named `balance`, and has `weight_decay: 0.0`, which overrides an optimizer's setting.
    """
    groups = parameter_groups(model, spec)
    own = dict(criterion.named_parameters())
    if own:
        balance: BalanceGroup = {
            "params": list(own.values()),
            "name": "balance",
            "tasks": tuple(spec.tasks),
            "sparse": False,
            "weights": list(own),
            "weight_decay": 0.0,
        }
        groups.append(balance)
    return groups


def default_optimizers(  # noqa: PLR0913 - the settings of a module
    groups: list[ParameterGroup],
    learning_rate: float,
    weight_decay: float,
    *,
    fusible: bool = True,
    table_learning_rate: float | None = None,
    table_optimizer: TableOptimizer | None = None,
) -> list[Optimizer]:
    """AdamW for dense gradients, fused if the device supports it; SparseAdam, without weight decay, for sparse ones.

    Args:
        groups: all trainable groups.
        learning_rate: of everything, unless tables have their own.
        weight_decay: of AdamW.
        fusible: whether AdamW may update all parameters in one kernel.
        table_learning_rate: of the tables; None: `learning_rate`.
        table_optimizer: `rowwise_adagrad` trains all tables; `table_optimizer_problem` checks the others.
    """
    rate = learning_rate if table_learning_rate is None else table_learning_rate
    dense: list[dict[str, Any]] = []
    sparse: list[dict[str, Any]] = []
    rowwise: list[dict[str, Any]] = []
    for group in groups:
        tables = group["name"] == "tables"
        by_row = tables and table_optimizer == "rowwise_adagrad"
        mine = rowwise if by_row else sparse if group["sparse"] else dense
        mine.append({**group, "lr": rate if tables else learning_rate})
    made: list[Optimizer] = []
    if dense:
        parameters = [parameter for group in dense for parameter in group["params"]]
        fused = fusible and all(p.device.type in _FUSED and p.is_floating_point() for p in parameters)
        made.append(AdamW(dense, lr=learning_rate, weight_decay=weight_decay, fused=fused))
    if sparse:
        made.append(SparseAdam(sparse, lr=rate))
    if rowwise:
        made.append(RowWiseAdagrad(rowwise, lr=rate))
    return made


def table_optimizer_problem(spec: Spec, table_optimizer: str | None) -> tuple[str, str] | None:
    """Why an optimizer cannot train the spec's tables, and what to do; None if it can.

    `adam` needs dense gradients of all tables, `sparse_adam` sparse ones, `rowwise_adagrad` takes both.
    """
    if table_optimizer is None:
        return None
    if table_optimizer not in TABLE_OPTIMIZERS:
        return "there is no such optimizer of tables", f"known: {', '.join(TABLE_OPTIMIZERS)}"
    named = {name: block.settings for name, block in spec.inputs.items()}
    if table_optimizer == "adam":
        wrong = [name for name, settings in named.items() if settings.sparse_gradients()]
        help_ = "omit `sparse_grad` of these inputs, or choose sparse_adam or rowwise_adagrad"
        reason = "Adam does not take sparse gradients, which these inputs have"
    elif table_optimizer == "sparse_adam":
        wrong = [name for name, settings in named.items() if _dense_table(settings)]
        help_ = "set `sparse_grad: true` for these inputs, or choose adam or rowwise_adagrad"
        reason = "SparseAdam needs sparse gradients, which these inputs do not have"
    else:
        return None
    return (f"{reason}: {', '.join(f'`{name}`' for name in wrong)}", help_) if wrong else None


def _dense_table(settings: Any) -> bool:  # noqa: ANN401 - of any kind of input
    """Whether an input owns a trainable table with dense gradients."""
    owns = hasattr(settings, "sparse_grad") and settings.shared_table() is None
    return owns and not settings.sparse_gradients() and not settings.frozen_table()


def has_sparse_tables(spec: Spec) -> bool:
    """Whether a table has sparse gradients, so that there are two default optimizers."""
    return any(block.settings.sparse_gradients() for block in spec.inputs.values())


def clips_scaled(trainer: Trainer) -> bool:
    """Whether the Trainer clips gradients in mixed precision, for which Lightning supports no fused optimizer."""
    return bool(trainer.gradient_clip_val) and isinstance(trainer.precision_plugin, MixedPrecision)


def check_trainer(trainer: Trainer, spec: Spec, made: Optimizers) -> None:
    """Checks what Lightning does not support, or would report only during training.

    Raises:
        MisconfigurationException: sparse gradients in several processes, or clipped; several optimizers with a Trainer
            option that requires a single one; a fused optimizer whose gradients would be clipped in mixed precision.
    """
    if has_sparse_tables(spec) and trainer.world_size > 1:
        raise MisconfigurationException(
            f"`{spec.name}` has tables with sparse gradients, which DDP and FSDP2 do not exchange: "
            "train it in one process, or without `sparse_grad`"
        )
    if has_sparse_tables(spec) and trainer.gradient_clip_val:
        raise MisconfigurationException(
            f"`{spec.name}` has tables with sparse gradients, which torch does not clip: "
            "omit Trainer(gradient_clip_val=...), or train it without `sparse_grad`"
        )
    several = isinstance(made, Sequence) and len(made) > 1
    if several and (trainer.gradient_clip_val or trainer.accumulate_grad_batches != 1):
        raise MisconfigurationException(
            f"`{spec.name}` is trained by several optimizers, for which Lightning supports neither "
            "Trainer(gradient_clip_val=...) nor Trainer(accumulate_grad_batches=...)"
        )
    if clips_scaled(trainer) and any(group.get("fused") for group in _groups(made)):
        raise MisconfigurationException(
            "in mixed precision, Lightning cannot clip the gradients of a fused optimizer: "
            "create the optimizer without `fused`, or omit Trainer(gradient_clip_val=...)"
        )


def _groups(made: Optimizers) -> list[dict[str, Any]]:
    """The parameter groups of the optimizers that a hook returned."""
    several = made if isinstance(made, Sequence) else [made]
    optimizers = [each["optimizer"] if isinstance(each, dict) else each for each in several]
    return [group for optimizer in optimizers for group in getattr(optimizer, "param_groups", ())]
