"""A learning rate that falls when the monitored metrics stop improving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


@dataclass(frozen=True, slots=True)
class Plateau:
    """Every learning rate is multiplied by `factor` after `patience` epochs without improvement."""

    patience: int
    factor: float

    def fall(self, trainer: Trainer) -> None:
        """Multiplies the learning rates of all optimizers, also those of a warm-up; checkpoints contain them."""
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= self.factor
        for config in trainer.lr_scheduler_configs:
            config.scheduler.base_lrs = [rate * self.factor for rate in config.scheduler.base_lrs]
