"""Specs, rows and quiet trainers for the tests of the Lightning adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightning
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from archspec.lightning import MultiTaskModule

Batch = dict[str, torch.Tensor]

TEXT = """
archspec: 1
name: mixed
inputs:
  x: {kind: dense, dim: 3}
  user: {kind: sparse, vocab: 4, dim: 2}
tasks:
  a: {kind: binary, decay: 0.9}
  b: {kind: regression, when: has_b}
  c: {kind: multiclass, classes: 3}
levels:
  - experts:
      shared: {count: 2, units: [4], activation: tanh}
    gates:
      $task: {sees: shared}
towers:
  $task: {units: []}
balance: uncertainty
"""
"""A task of each kind; `b` has a sample space, and the balance learns."""


def rows_of(number: int, seed: int = 0) -> Batch:
    """Inputs and labels of `TEXT`; the first three rows are in the sample space of `b`."""
    draw = torch.Generator().manual_seed(seed)
    return {
        "x": torch.randn(number, 3, generator=draw),
        "user": torch.randint(4, (number,), generator=draw),
        "a": torch.randint(2, (number,), generator=draw).float(),
        "b": torch.randn(number, generator=draw),
        "has_b": (torch.arange(number) < 3).long(),
        "c": torch.randint(3, (number,), generator=draw),
    }


class Loader:
    """Batches, passed on unchanged: Lightning would read a list of dicts as several loaders."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        """Keeps the batches."""
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches once."""
        return iter(self.batches)

    def __len__(self) -> int:
        """The number of batches per pass."""
        return len(self.batches)


def loader_of(batches: int, rows: int = 8, seed: int = 0) -> Loader:
    """Batches of `TEXT`."""
    return Loader([rows_of(rows, seed=100 * seed + number) for number in range(batches)])


def quiet_trainer(**options: Any) -> lightning.Trainer:  # noqa: ANN401 - of Trainer
    """A Trainer on the CPU that writes nothing."""
    quiet = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return lightning.Trainer(**{**quiet, **options})


def fitted(
    module: MultiTaskModule,
    train: Loader,
    validation: Loader | None = None,
    checkpoint: Path | None = None,
    **options: Any,  # noqa: ANN401 - of Trainer
) -> lightning.Trainer:
    """Trains, resuming from a checkpoint if one is given; without validation rows nothing is validated."""
    trainer = quiet_trainer(**{"limit_val_batches": 0 if validation is None else None, **options})
    # Lightning warns if a module can validate but has no rows for it: it gets some, but a limit of none.
    trainer.fit(module, train, validation or train, ckpt_path=checkpoint, weights_only=True)
    return trainer


def logged(trainer: lightning.Trainer) -> dict[str, float]:
    """The metrics that were logged last."""
    return {name: float(value) for name, value in trainer.callback_metrics.items()}
