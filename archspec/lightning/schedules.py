"""Learning rates that change from step to step."""

from __future__ import annotations

from math import ceil, cos, isfinite, pi
from typing import TYPE_CHECKING

from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.optim.lr_scheduler import LambdaLR

if TYPE_CHECKING:
    from lightning.pytorch import Trainer
    from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
    from torch.optim import Optimizer

    from archspec.train.choices import Schedule


def rate_factor(schedule: Schedule, warmup: int, steps: int, step: int) -> float:
    """The factor of the learning rate at a step.

    In warm-up, it rises linearly: step 0 has `1 / warmup`, step `warmup - 1` has 1. Then it falls from 1, at step
    `warmup`, to 0 at step `steps`, which is no longer trained.

    Args:
        schedule: how it falls.
        warmup: steps of warm-up.
        steps: all optimizer steps of the run.
        step: the optimizer step, from 0.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return 1.0 - done if schedule == "linear" else (1.0 + cos(pi * done)) / 2


def scheduled(optimizer: Optimizer, trainer: Trainer, schedule: Schedule, warmup: int) -> OptimizerLRSchedulerConfig:
    """An optimizer, with each group's learning rate multiplied by `rate_factor` over the steps of the Trainer.

    Raises:
        MisconfigurationException: the schedule ends with the training, but the Trainer never ends.
    """
    if schedule != "constant" and trainer.max_epochs == -1 and trainer.max_steps == -1:
        raise MisconfigurationException(
            f"the schedule {schedule!r} ends with the training: set max_epochs or max_steps of the Trainer"
        )

    def factor(step: int) -> float:
        ends = schedule != "constant" and step > 0  # before the first step, the loaders are unknown
        return rate_factor(schedule, warmup, _steps(trainer, schedule) if ends else 0, step)

    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}}


def _steps(trainer: Trainer, schedule: Schedule) -> int:
    """All optimizer steps of a training that has begun.

    Before it has, `Trainer.estimated_stepping_batches` would set up the loaders, and a resumed epoch would then be
    followed by one with too few batches.

    Raises:
        MisconfigurationException: the loader has no length, and only the number of epochs is limited.
    """
    epochs = trainer.max_epochs
    if epochs is None or epochs == -1:
        return trainer.max_steps
    if not isfinite(trainer.num_training_batches):
        if trainer.max_steps == -1:
            raise MisconfigurationException(
                f"the schedule {schedule!r} ends with the training, but the loader has no length, so max_epochs does "
                "not say when that is: set max_steps of the Trainer"
            )
        return trainer.max_steps
    steps = epochs * ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)
