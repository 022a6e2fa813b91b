"""The exponential moving average of a model's weights, which is evaluated and saved in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from archspec.nn.wrapped import unwrapped

if TYPE_CHECKING:
    from torch import Tensor

TRAINED: Final = "trained_weights"
"""Where a checkpoint has the weights that are trained; its `state_dict` has their average."""
PREFIX: Final = "model."
"""What the names of the model's weights begin with in a checkpoint of a MultiTaskModule."""


class MovingAverage:
    """The average of a model's weights over the steps, and its exchange with the weights that are trained.

    After the first step it equals the weights, after each further one `decay * average + (1 - decay) * weights`, as
    `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn`. Running statistics are averaged too, and counters
    copied. It takes the memory of a second copy of the model, and every step reads and writes all of it.

    Args:
        decay: the part of the average that a step keeps, between 0 and 1.

    Raises:
        ValueError: `decay` is not between 0 and 1.
    """

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"ema={decay}: the decay of the moving average must be between 0 and 1")
        self.decay = decay
        self.exchanged = False
        """Whether the model has the average, and this object the weights that are trained."""
        self._kept: dict[str, Tensor] = {}
        self._average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def update(self, model: nn.Module) -> None:
        """Adds the weights after a step."""
        own = unwrapped(model).state_dict()
        if not self._kept:
            self._kept = {name: value.clone() for name, value in own.items()}
            return
        counters = [name for name, value in own.items() if not value.is_floating_point()]
        averaged: list[Any] = [name for name in own if name not in counters]
        self._average([self._kept[name] for name in averaged], [own[name] for name in averaged], 1)
        for name in counters:
            self._kept[name].copy_(own[name])

    @torch.no_grad()
    def exchange(self, model: nn.Module) -> None:
        """Exchanges the average and the weights that are trained, in place; before the first step, does nothing."""
        if not self._kept:
            return
        self.exchanged = not self.exchanged
        for name, value in unwrapped(model).state_dict().items():
            before = value.clone()
            value.copy_(self._kept[name])
            self._kept[name].copy_(before)

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Makes the average the weights of a checkpoint, beside those that are trained."""
        kept = {PREFIX + name: value for name, value in self._kept.items()}
        own = {name: checkpoint["state_dict"][name] for name in kept}
        average, trained = (own, kept) if self.exchanged else (kept, own)
        checkpoint["state_dict"] = {**checkpoint["state_dict"], **average}
        checkpoint[TRAINED] = trained

    def resume(self, checkpoint: dict[str, Any], model: nn.Module) -> None:
        """Takes the average from a checkpoint, in which the weights that are trained become those to load."""
        trained, average = checkpoint.get(TRAINED, {}), checkpoint["state_dict"]
        own = {PREFIX + name: value for name, value in unwrapped(model).state_dict().items()}
        self._kept = {name.removeprefix(PREFIX): average[name].to(own[name].device, copy=True) for name in trained}
        self.exchanged = False
        checkpoint["state_dict"] = {**average, **trained}


class AveragedModule(LightningModule):
    """A module whose model has the average while it is validated in a training, and after the training."""

    model: nn.Module
    average: MovingAverage | None
    """None: there is no average, and nothing is exchanged."""

    def on_train_start(self) -> None:
        """Continues with the weights that are trained, if an earlier `fit` has left their average in the model."""
        self._exchange(averaged=False)

    def on_train_end(self) -> None:
        """Leaves the average in the model."""
        self._exchange(averaged=True)

    def on_validation_start(self) -> None:
        """In a training, measures the average; callbacks of validation find it in the model."""
        if self.fits():
            self._exchange(averaged=True)

    def on_validation_end(self) -> None:
        """Continues with the weights that are trained."""
        if self.fits():
            self._exchange(averaged=False)

    def fits(self) -> bool:
        """Whether a Trainer trains this module, rather than validates it or reads a checkpoint."""
        return self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING

    def _exchange(self, *, averaged: bool) -> None:
        """Puts the average, or the weights that are trained, into the model."""
        if self.average is not None and self.average.exchanged != averaged:
            self.average.exchange(self.model)
