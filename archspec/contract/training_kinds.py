"""Tasks, losses and balances: the keys that all have, and the base classes of their kinds, with the methods called.

Shapes: `B` batch, `T` tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from archspec.contract.kind import Kind
from archspec.contract.methods import overrides
from archspec.contract.settings import NotNegative, Settings, added
from archspec.contract.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from archspec.contract.balance_module import BalanceModule


class TaskKind(Kind):
    """A kind of task: the outputs of its tower, the prediction made of them, the legal labels, loss and metrics."""

    common: ClassVar[type[Settings]] = Task

    output: ClassVar[Literal["binary", "regression", "multiclass"]] = "regression"
    """What the prediction is: `binary` a probability `[B]` whose logit is the output; `regression` one value per row,
    `[B]`; `multiclass` neither, so that fusions cannot combine it."""
    score: ClassVar[str] = ""
    """A function from outputs to predictions: `sigmoid`, `softmax`, or as in `at.apply`; empty: the outputs."""
    lowest: ClassVar[float | None] = None
    """The lowest legal label that is not a class; None: any finite number. If there is one, -1 is a missing label."""
    metrics: ClassVar[tuple[str, ...]] = ()
    """Names of the metrics that evaluation measures (`archspec.lightning.metrics` lists them)."""

    whole: ClassVar[bool] = False
    """Whether labels are class indices: whole numbers only."""

    def outputs(self) -> int:
        """The number of outputs of the task's tower: 1 gives `[B]`, more give `[B, outputs]`."""
        return 1

    def class_count(self) -> int | None:
        """The number of classes, if labels are in 0..classes - 1; None: labels are not classes."""
        return None

    def default_loss(self) -> Mapping[str, Any]:
        """The loss of a task that names none, as a spec writes it: `{"kind": "logistic"}`."""
        raise NotImplementedError


class LossCommon(Settings):
    """Keys of every loss."""

    weight: NotNegative = added(1.0)
    """Factor of this loss among those of its task, which are added."""


class LossKind(Kind):
    """A kind of loss: one number per row, from the task's output; `joint` also reads other outputs and the batch."""

    common: ClassVar[type[Settings]] = LossCommon
    tasks: ClassVar[tuple[str, ...]] = ()
    """Kinds of tasks that can use it; empty: all. If it reads scores, `regression` and `binary` are all kinds whose
    `output` is that."""
    outputs: ClassVar[int | None] = None
    """How many outputs its tasks must have; None: any number."""
    reads: ClassVar[Literal["logits", "scores"]] = "logits"
    """Whether `rows` receives the task's outputs, or the predictions that its kind makes of them."""
    selects_rows: ClassVar[bool] = True
    """Whether `joint` decides which rows have a label: then labels may be missing, and are not checked."""
    stopped: ClassVar[tuple[str, ...]] = ()
    """Settings that name outputs whose gradient the loss stops."""

    def rows(self, logits: Tensor, labels: Tensor) -> Tensor:
        """`[B]` (or `[B, classes]`), labels `[B]` -> losses `[B]`."""
        raise NotImplementedError

    def joint(
        self, logits: Tensor, labels: Tensor, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]
    ) -> Tensor:
        """Like `rows`, with all outputs and all columns of the batch."""
        raise NotImplementedError

    def within(self, logits: Tensor, labels: Tensor, groups: Tensor, inside: Tensor) -> Tensor:
        """Losses `[B]` of rows that are compared with the other rows of their group, for a kind with a `group` setting.

        Args:
            logits: `[B]` (or `[B, classes]`).
            labels: `[B]`.
            groups: int64 `[B]`; rows with the same number are one group.
            inside: bool `[B]`; rows outside the task's sample space take no part.
        """
        raise NotImplementedError


def selects_rows(loss: LossKind) -> bool:
    """Whether a loss decides which rows have a label."""
    return loss.selects_rows and overrides(loss, LossKind.joint)


class BalanceKind(Kind):
    """A kind of balance: combines the losses of the tasks into one."""

    gradients: ClassVar[Literal["none", "last", "shared"]] = "none"
    """The weights on which it reads each task's gradient: none, the last shared ones, or all shared ones."""

    def build(self, tasks: tuple[str, ...]) -> BalanceModule:
        """Returns a module that combines the weighted losses `[T]` of the tasks into one, `[]`."""
        raise NotImplementedError
