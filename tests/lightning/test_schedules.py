"""Learning rates that change from step to step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader, IterableDataset

from archspec.lightning.module import MultiTaskModule
from archspec.lightning.schedules import rate_factor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import Tensor

TEXT = """
archspec: 1
name: t
inputs: {u: {kind: sparse, vocab: 10, dim: 4}}
tasks: {a: {kind: binary}}
towers: {$task: {from: inputs}}
"""
"""A small model."""


def test_factors() -> None:
    """Warm-up rises linearly to 1; a line and half a cosine then fall from 1 to 0; a constant stays 1."""
    assert [rate_factor("constant", 4, 0, step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert [rate_factor("linear", 2, 6, step) for step in range(8)] == [0.5, 1, 1, 0.75, 0.5, 0.25, 0, 0]
    cosine = [rate_factor("cosine", 0, 4, step) for step in range(5)]
    assert cosine == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0])
    assert rate_factor("linear", 9, 5, 4) == pytest.approx(5 / 9)


class Rates(Callback):
    """The learning rate of each batch."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:  # noqa: ANN401 - Lightning's signature
        """Adds the current rate."""
        self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])


def fitted(folder: Path, module: MultiTaskModule, data: Any = None, **options: Any) -> list[float]:  # noqa: ANN401 - a dataset, and options of Trainer
    """The learning rate of each batch while the module is trained on 4 batches per epoch."""
    rows: Any = [{"u": torch.tensor(i % 10), "a": torch.tensor(float(i % 2))} for i in range(8)]
    rates = Rates()
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, default_root_dir=folder,
        enable_model_summary=False, limit_val_batches=0, callbacks=[rates], **options,
    )  # fmt: skip
    trainer.fit(module, DataLoader(rows if data is None else data, batch_size=2))
    return rates.seen


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a `validation_step`")
def test_rates_change_with_optimizer_steps(tmp_path: Path) -> None:
    """The schedule spans the run's optimizer steps: batches of one step have the same rate."""
    module = MultiTaskModule(TEXT, learning_rate=0.1, schedule="linear", warmup=2, seed=0)
    seen = fitted(tmp_path, module, max_epochs=2, accumulate_grad_batches=2, log_every_n_steps=1)
    assert seen == pytest.approx([0.05, 0.05, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a `validation_step`")
def test_a_schedule_needs_an_end(tmp_path: Path) -> None:
    """Training without an end is refused in one sentence."""
    with pytest.raises(MisconfigurationException, match="max_epochs"):
        fitted(tmp_path, MultiTaskModule(TEXT, schedule="cosine"), max_epochs=-1, log_every_n_steps=1)


class Endless(IterableDataset[Any]):
    """Rows without a length."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return iter([{"u": torch.tensor(i % 10), "a": torch.tensor(float(i % 2))} for i in range(8)])


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a `validation_step`")
@pytest.mark.parametrize("warmup", [0, 1000])
def test_a_loader_without_a_length_needs_max_steps(tmp_path: Path, warmup: int) -> None:
    """Epochs of unknown length are refused at the first step, also in warm-up; max_steps is the way out."""
    words = {"max_epochs": 2, "log_every_n_steps": 1}
    with pytest.raises(MisconfigurationException, match="set max_steps"):
        fitted(tmp_path, MultiTaskModule(TEXT, schedule="linear", warmup=warmup), Endless(), **words)
    module = MultiTaskModule(TEXT, learning_rate=0.1, schedule="linear")
    seen = fitted(tmp_path, module, Endless(), max_steps=4, **words)
    assert seen == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert len(fitted(tmp_path, MultiTaskModule(TEXT, warmup=3), Endless(), **words)) == 8
