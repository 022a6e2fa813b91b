"""Optimizers of dense parameters, of sparse tables, and of the parameters of the balance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch.optim import AdamW, Optimizer, SparseAdam

from archspec.lightning.combined import combined
from archspec.lightning.schedules import scheduled
from archspec.train.choices import Schedule, TableOptimizer
from archspec.train.groups import ParameterGroup, parameter_groups
from archspec.train.rowwise import RowWiseAdagrad
from archspec.train.table_adamw import TableAdamW

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from torch import nn

    from archspec.spec.spec import Spec
    from archspec.train.criterion import MultiTaskLoss

Optimizers = Optimizer | Sequence[Optimizer] | OptimizerLRSchedulerConfig
"""One optimizer, several (which are combined), or one with its schedule: `{"optimizer": o, "lr_scheduler": s}`."""
OptimizerHook = Callable[[list[ParameterGroup]], Optimizers]
"""Makes optimizers from all trainable groups; every group must be in exactly one optimizer."""

TABLE_OPTIMIZERS: Final[tuple[str, ...]] = get_args(TableOptimizer)

_MANY: Final = 2**23
"""Tables with dense gradients of this many numbers take a good part of a step."""
_FEW: Final = 8
"""A table is large if it has this many rows for each row of a batch."""
_LISTED: Final = 3
"""How many inputs a hint names."""

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


@dataclass(frozen=True, slots=True)
class OptimizerSettings:
    """The settings of the default optimizer; `MultiTaskModule` explains them."""

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    table_learning_rate: float | None = None
    table_optimizer: TableOptimizer | None = None
    schedule: Schedule = "constant"
    warmup: int = 0

    def check(self, spec: Spec, hook: OptimizerHook | None) -> None:
        """Raises ValueError if the settings of tables do not fit the spec, or a hook would ignore them."""
        problem = table_optimizer_problem(spec, self.table_optimizer)
        if problem is not None:
            raise ValueError(f"table_optimizer={self.table_optimizer!r}: {problem[0]}; {problem[1]}")
        given = self.table_optimizer is not None or self.table_learning_rate is not None
        if hook is not None and given:
            raise ValueError("`optimizer` makes all optimizers: omit table_optimizer and table_learning_rate")

    def made(self, groups: list[ParameterGroup], trainer: Trainer) -> Optimizer | OptimizerLRSchedulerConfig:
        """The default optimizer of all trainable groups, with its schedule if there is one.

        Raises:
            MisconfigurationException: the schedule ends with the training, but the Trainer never ends.
        """
        optimizer = combined(self._parts(groups, fusible=not clips_scaled(trainer)))
        if self.schedule == "constant" and not self.warmup:
            return optimizer
        return scheduled(optimizer, trainer, self.schedule, self.warmup)

    def _parts(self, groups: list[ParameterGroup], *, fusible: bool) -> list[Optimizer]:
        """AdamW, fused if the device supports it, and for tables another optimizer if they get one."""
        rate = self.learning_rate if self.table_learning_rate is None else self.table_learning_rate
        dense: list[dict[str, Any]] = []
        sparse: list[dict[str, Any]] = []
        rowwise: list[dict[str, Any]] = []
        for group in groups:
            tables = group["name"] == "tables"
            by_row = tables and self.table_optimizer == "rowwise_adagrad"
            mine = rowwise if by_row else sparse if group["sparse"] else dense
            mine.append({**group, "lr": rate if tables else self.learning_rate})
        made: list[Optimizer] = []
        if dense:
            parameters = [parameter for group in dense for parameter in group["params"]]
            fused = fusible and all(p.device.type in _FUSED and p.is_floating_point() for p in parameters)
            made.append(AdamW(dense, lr=self.learning_rate, weight_decay=self.weight_decay, fused=fused))
        if sparse and self.table_optimizer == "adam":
            made.append(TableAdamW(sparse, lr=rate, weight_decay=self.weight_decay))
        elif sparse:
            made.append(SparseAdam(sparse, lr=rate))
        if rowwise:
            made.append(RowWiseAdagrad(rowwise, lr=rate))
        return made


def single(made: Optimizers) -> Optimizer | OptimizerLRSchedulerConfig:
    """What a hook returned, with several optimizers combined into one.

    Raises:
        MisconfigurationException: it is a list of something else, such as optimizers with their own schedulers.
    """
    if not isinstance(made, Sequence):
        return made
    if not made or not all(isinstance(each, Optimizer) for each in made):
        raise MisconfigurationException(
            "the optimizer hook must return an optimizer, a list of optimizers, or one dictionary with `optimizer` and "
            "`lr_scheduler`; for several optimizers with a schedule, combine them with CombinedOptimizer([...])"
        )
    return combined(made)


def table_optimizer_problem(spec: Spec, table_optimizer: str | None) -> tuple[str, str] | None:
    """Why an optimizer cannot train the spec's tables, and what to do; None if it can.

    `sparse_adam` needs sparse gradients of all tables; the others take both.
    """
    if table_optimizer is None:
        return None
    if table_optimizer not in TABLE_OPTIMIZERS:
        return "there is no such optimizer of tables", f"known: {', '.join(TABLE_OPTIMIZERS)}"
    if table_optimizer != "sparse_adam":
        return None
    wrong = [f"`{name}`" for name, block in spec.inputs.items() if _dense_table(block.settings)]
    reason = f"SparseAdam needs sparse gradients, which these inputs do not have: {', '.join(wrong)}"
    return (reason, "set `sparse_grad: true` for these inputs, or choose adam or rowwise_adagrad") if wrong else None


def dense_tables_hint(spec: Spec, batch: int) -> str | None:
    """How to train large tables in less time; None if their gradients are sparse or must be dense, or tables are small.

    A table is large if a batch of so many rows looks up few of its rows. One process is assumed: several need dense
    gradients.
    """
    tables = {name: block.settings for name, block in spec.inputs.items() if _dense_table(block.settings)}
    shapes = {
        name: (getattr(each, "vocab", None) or 0, getattr(each, "dim", None) or 0) for name, each in tables.items()
    }
    large = {name: shape for name, shape in shapes.items() if shape[0] > _FEW * batch}
    rows = sum(rows for rows, _ in large.values())
    balance = spec.balance.settings
    reads = balance is not None and balance.gradients != "none" and len(spec.tasks) > 1
    if reads or sum(rows * width for rows, width in large.values()) < _MANY:
        return None
    *names, last = [f"`{name}`" for name in large][:_LISTED]
    more = f" and {len(large) - _LISTED} more inputs" if len(large) > _LISTED else ""
    listed = f"{', '.join((*names, last))}{more}" if more or not names else f"{', '.join(names)} and {last}"
    return (
        f"the gradients of {listed} are dense, so each step goes through all {rows:,} rows of their tables: with "
        "`sparse_grad: true` for these inputs, `--table-optimizer adam` learns the same in less time and memory; "
        "`sparse_adam` and `rowwise_adagrad` update only the rows of a batch, several times as fast"
    )


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


def check_trainer(trainer: Trainer, spec: Spec, made: Optimizer | OptimizerLRSchedulerConfig) -> None:
    """Checks what Lightning does not support, or would report only during training.

    Raises:
        MisconfigurationException: sparse gradients in several processes; a fused optimizer whose gradients would be
            clipped in mixed precision.
    """
    if has_sparse_tables(spec) and trainer.world_size > 1:
        raise MisconfigurationException(
            f"`{spec.name}` has tables with sparse gradients, which DDP and FSDP2 do not exchange: "
            "train it in one process, or without `sparse_grad`"
        )
    optimizer = made["optimizer"] if isinstance(made, dict) else made
    if clips_scaled(trainer) and getattr(optimizer, "_step_supports_amp_scaling", False):
        raise MisconfigurationException(
            "in mixed precision, Lightning cannot clip the gradients of a fused optimizer: "
            "create the optimizer without `fused`, or omit Trainer(gradient_clip_val=...)"
        )
