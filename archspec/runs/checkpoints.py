"""The files that a run saves while it trains: a checkpoint to resume from, the best weights, and all metrics."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from math import isfinite, nan
from typing import TYPE_CHECKING, Any, Final

import torch
from lightning.pytorch.callbacks import Checkpoint

from archspec.diagnostics import Diagnostic, unusable
from archspec.files import write_whole
from archspec.nn.checkpoint import save_weights
from archspec.runs.files import HISTORY, LAST, STATE, WEIGHTS
from archspec.runs.monitor import improves, names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from lightning.pytorch import LightningModule, Trainer
    from torch import Tensor

    from archspec.runs.plateau import Plateau

_STEPS: Final = 1_000_003
"""Distance between the step seeds of runs with consecutive seeds."""
_POINTS: Final = 50
"""Points per epoch in the curve of training losses."""


@dataclass(frozen=True, slots=True)
class Step:
    """A finished training step: epoch and step count from 1; `loss` is its loss `[]`."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: Tensor


@dataclass(frozen=True, slots=True)
class Epoch:
    """A finished epoch, counted from 1: its metrics, whether its weights are kept, and a line about it."""

    epoch: int
    metrics: Mapping[str, float | None]
    kept: bool
    line: str


class CheckpointCallback(Checkpoint):
    """Saves a run so that, if it is killed at any moment, it continues from its last checkpoint as if uninterrupted.

    Every `interval` steps, and after the first step of an epoch, it writes `last.ckpt`; after every epoch
    `history.json` and, if the first monitored metric is the best so far, `weights.safetensors`. It stops the training
    if no monitored metric has improved for `patience` epochs. If the first one has no value in an epoch, it warns;
    until there is a value, it saves the latest epoch's weights and does not stop. Dropout and other randomness of a
    step depend only on the seed and the step.

    Args:
        folder: the folder for the files.
        interval: steps between checkpoints.
        monitor: names of the metrics to monitor, separated by commas, such as `validation/task_losses`. The first one
            decides which epoch is the best; training goes on while any of them improves.
        patience: epochs without improvement after which training stops; 0 or None never stops early.
        seed: seed of the randomness of training steps.
        epoch: called after each epoch.
        warn: called once with a warning if the monitored metric has no value.
        step: called after each step.
        plateau: how the learning rate falls when no monitored metric improves; None: not at all.
    """

    def __init__(  # noqa: PLR0913 - the settings of a run
        self, folder: Path, *, interval: int, monitor: str, patience: int | None, seed: int,
        epoch: Callable[[Epoch], None],
        warn: Callable[[Iterable[Diagnostic]], None], step: Callable[[Step], None] | None = None,
        plateau: Plateau | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.interval, self.patience = folder, interval, patience
        self.monitor, *self.others = names_in(monitor)
        self.seed, self.epoch, self.warn, self.step, self.plateau = seed, epoch, warn, step, plateau
        self._warned = False
        self.forget()

    def forget(self) -> None:
        """Resets the state."""
        self.history: dict[str, list[tuple[int, float]]] = {}
        """Name of a loss or metric -> steps and values."""
        self.best: dict[str, float] = {}
        """The metrics of the epoch with the best monitored metric, with `step` and `epoch`."""
        self.waited = 0
        """Epochs since the last improvement, of any monitored metric, in which one of them had a value."""
        self.held = 0
        """Such epochs since the last improvement, or since the learning rate last fell on a plateau."""
        self.epochs = 0
        """Number of finished epochs."""
        self._sums: dict[str, Any] = {}
        self._summed = 0

    @property
    def state_key(self) -> str:
        """The key of the state in a checkpoint."""
        return STATE

    @property
    def stopped(self) -> bool:
        """Whether no monitored metric has improved for too long."""
        return bool(self.patience) and self.waited >= (self.patience or 0)

    @property
    def reason(self) -> str:
        """Why the weights of this epoch were saved."""
        if not self.best:
            return ""
        value = self.best.get(self.monitor, nan)
        if isfinite(value):
            return f"the best {self.monitor}, {value:.5f}"
        return f"the last one: {self.monitor} has no value"

    def state_dict(self) -> dict[str, Any]:
        """The run's state in a checkpoint."""
        return {
            "epochs": self.epochs, "best": dict(self.best), "waited": self.waited,
            "history": {name: [list(point) for point in points] for name, points in self.history.items()},
            "sums": {name: float(total) for name, total in self._sums.items()}, "summed": self._summed,
            "held": self.held,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the run's state."""
        self.history = {
            name: [(int(step), value) for step, value in points] for name, points in state_dict["history"].items()
        }
        self.best, self.waited, self.epochs = state_dict["best"], state_dict["waited"], state_dict["epochs"]
        self._sums, self._summed = state_dict["sums"], state_dict["summed"]
        self.held = state_dict.get("held", 0)  # an older archspec wrote none

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:  # noqa: ANN401 - Lightning's signature
        """Seeds the step's randomness, so that it does not matter where a run was interrupted."""
        step = trainer.current_epoch * int(trainer.num_training_batches) + batch_idx
        torch.manual_seed(((self.seed * _STEPS + step) * trainer.world_size + trainer.global_rank) % 2**63)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401 - Lightning's signature
        batch: Any,  # noqa: ANN401 - Lightning's signature
        batch_idx: int,
    ) -> None:
        """Adds the step's losses to the curve, and saves a checkpoint every `interval` steps."""
        per_epoch = int(trainer.num_training_batches)
        step = trainer.current_epoch * per_epoch + batch_idx + 1
        parts = {f"train/{task}/loss": loss for task, loss in outputs["parts"].items()}
        loss = outputs["loss"].detach() * trainer.accumulate_grad_batches  # Lightning has divided it
        for name, value in {"train/loss": loss, **parts}.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._summed += 1
        if step % max(per_epoch // _POINTS, 1) == 0:
            self._mark(step)
        if self.step is not None and trainer.is_global_zero:
            epochs = trainer.max_epochs or 0
            self.step(Step(trainer.current_epoch + 1, epochs, batch_idx + 1, per_epoch, loss))
        # Not after the last step: Lightning resumes exactly within an epoch, but not between two.
        if batch_idx + 1 < per_epoch and self._due(step, batch_idx + 1, trainer.accumulate_grad_batches):
            trainer.save_checkpoint(self.folder / LAST, weights_only=False)

    def _due(self, step: int, batches: int, accumulated: int) -> bool:
        """Whether to save a checkpoint: never between batches of one optimizer step, whose gradients it lacks."""
        if batches % accumulated != 0:
            return False
        passed = step // self.interval > (step - accumulated) // self.interval
        return passed or (batches == accumulated and step > batches)

    def _mark(self, step: int) -> None:
        """Adds the mean losses since the last mark to the history."""
        for name, total in self._sums.items():
            mean = float(total) / self._summed
            if not isfinite(mean):
                unusable(
                    "AS710", f"`{name}` is {mean} at step {step:,}",
                    help="lower `--learning-rate`, or encode large numbers with `--encode COLUMN=standard`; "
                    "if a loss reads further columns, such as another task's label, none of them may be missing",
                )  # fmt: skip
            self.history.setdefault(name, []).append((step, mean))
        self._sums, self._summed = {}, 0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Deletes the metrics of the last validation: Lightning would keep the old value of one that has none now."""
        for name in [name for name in trainer.callback_metrics if name.startswith("validation/")]:
            del trainer.callback_metrics[name]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Adds the metrics to the history, and saves the best weights."""
        if trainer.sanity_checking:
            return
        measured = {
            name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("validation/")
        }
        step = (trainer.current_epoch + 1) * int(trainer.num_training_batches)
        self._wait(measured)
        for name, value in measured.items():
            self.history.setdefault(name, []).append((step, value))
        if not isfinite(measured.get(self.monitor, nan)) and trainer.is_global_zero:
            self._warn(trainer.current_epoch + 1)
        if self._improved(measured):
            self.best = {"epoch": trainer.current_epoch + 1, "step": step, **measured}
            self.waited = 0
            if trainer.is_global_zero:
                save_weights(pl_module.model, self.folder / WEIGHTS)  # type: ignore[arg-type] # a compiled model
        fell = self._fall(trainer)
        if trainer.is_global_zero:
            self.epoch(self._epoch(trainer.current_epoch + 1, measured, fell))
        trainer.should_stop = trainer.should_stop or self.stopped

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the metrics."""
        self.epochs = trainer.current_epoch + 1
        if trainer.is_global_zero:
            write_whole(self.folder / HISTORY, json.dumps(self.state_dict()) + "\n")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Ends the other processes if only the first one fails, for example on a full disk: they would wait forever."""
        launcher: Any = trainer.strategy.launcher
        if trainer.is_global_zero and hasattr(launcher, "kill"):
            launcher.kill(getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has no SIGKILL

    def _wait(self, measured: dict[str, float]) -> None:
        """Counts the epochs without improvement; those in which no monitored metric has a value do not count."""
        values = {name: measured.get(name, nan) for name in (self.monitor, *self.others)}
        counts = any(map(isfinite, values.values()))
        self.waited, self.held = self.waited + counts, self.held + counts
        if any(improves(name, values[name], self._earlier(name)) for name in self.others):
            self.waited = 0

    def _fall(self, trainer: Trainer) -> str:
        """Lowers the learning rate on a plateau; returns the end of the epoch's line."""
        if self.waited == 0:
            self.held = 0
        if self.plateau is None or self.held < self.plateau.patience:
            return ""
        self.plateau.fall(trainer)
        self.held = 0
        return f"; learning rate times {self.plateau.factor:g}"

    def _earlier(self, name: str) -> list[float]:
        """The values of a metric in the epochs so far."""
        return [value for _, value in self.history.get(name, [])]

    def _improved(self, measured: dict[str, float]) -> bool:
        """Whether this is the best epoch so far: by the first metric, or without a value of it, the latest one."""
        best = self.best.get(self.monitor, nan)
        return not isfinite(best) or improves(self.monitor, measured.get(self.monitor, nan), [best])

    def _warn(self, epoch: int) -> None:
        """Warns once that the monitored metric has no value."""
        if not self._warned:
            self._warned = True
            self.warn([
                Diagnostic(
                    "AS736", f"`{self.monitor}` has no value after epoch {epoch}: training goes on and is not stopped "
                    "early; the weights of the " + ("best epoch" if self.best else "latest epoch") + " are kept",
                    help="an AUC needs validation rows of both classes, and every metric needs rows of its task; "
                    "or use `--monitor validation/task_losses`", severity="warning",
                )
            ])  # fmt: skip

    def _epoch(self, epoch: int, measured: dict[str, float], fell: str) -> Epoch:
        """What is shown of an epoch."""
        values = {name: value if isfinite(value) else None for name, value in measured.items()}
        return Epoch(epoch, values, self.best.get("epoch") == epoch, self._line(epoch, measured) + fell)

    def _line(self, epoch: int, measured: dict[str, float]) -> str:
        """A line about an epoch: the losses, and the monitored metrics."""
        shown = dict.fromkeys(("validation/loss", self.monitor, *self.others))
        last = self.history.get("train/loss")
        train = f"train/loss {last[-1][1]:.5f}, " if last else ""
        word = " (best)" if self.monitor in measured else " (kept)"
        kept = word if self.best.get("epoch") == epoch else ""
        values = ", ".join(f"{name} {measured[name]:.5f}" for name in shown if name in measured)
        return f"epoch {epoch}: {train}{values}{kept}"
