"""The moving average of the weights: what is measured, saved and resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from archspec.lightning import MultiTaskModule
from archspec.lightning.average import TRAINED
from tests.lightning.loops import TEXT, fitted, loader_of

if TYPE_CHECKING:
    from pathlib import Path

    from lightning.pytorch import LightningModule, Trainer

DECAY = 0.75
NORMED = TEXT.replace("activation: tanh", "activation: tanh, norm: batch")
State = dict[str, torch.Tensor]


class Watch(Callback):
    """The model's weights after each optimizer step, and during each validation."""

    def __init__(self) -> None:
        self.steps: list[State] = []
        self.validated: list[State] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:  # noqa: ANN401 - Lightning's signature
        """Keeps the weights of a step."""
        self.steps.append(copied(pl_module))

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the weights that are measured."""
        self.validated.append(copied(pl_module))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A callback that saves weights after validation saves those that were measured."""
        assert_same(copied(pl_module), self.validated[-1])


def copied(module: LightningModule) -> State:
    """A copy of the model's weights and statistics."""
    assert isinstance(module, MultiTaskModule)
    return {name: value.clone() for name, value in module.model.state_dict().items()}


def assert_same(found: State, expected: State) -> None:
    """Compares two states: counters exactly, numbers in float64."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-13, atol=1e-13, msg=name)


def averages(steps: list[State]) -> list[State]:
    """After each step, decay * average + (1 - decay) * weights, from the first step's weights; counters are copied."""
    found = [steps[0]]
    for state in steps[1:]:
        found.append({
            name: DECAY * found[-1][name] + (1 - DECAY) * value if value.is_floating_point() else value
            for name, value in state.items()
        })  # fmt: skip
    return found


def module_of(seed: int = 0) -> MultiTaskModule:
    """A model with batch norm and dropout-free layers, in float64."""
    return MultiTaskModule(NORMED, seed=seed, learning_rate=0.05, ema=DECAY).double()


def loader(batches: int) -> Any:  # noqa: ANN401 - as loader_of
    """Batches in float64."""
    found = loader_of(batches)
    found.batches = [{name: value.double() if value.is_floating_point() else value for name, value in batch.items()}
                     for batch in found.batches]  # fmt: skip
    return found


def test_the_average_is_measured_and_left_in_the_model() -> None:
    """Validation measures the average by its formula, the weights train on, and `fit` leaves the average."""
    watch, module = Watch(), module_of()
    fitted(module, loader(3), validation=loader(1), max_epochs=2, callbacks=[watch], num_sanity_val_steps=0)
    expected = averages(watch.steps)
    assert_same(watch.validated[0], expected[2])
    assert_same(watch.validated[1], expected[5])
    assert_same(copied(module), expected[5])
    plain, plain_watch = MultiTaskModule(NORMED, seed=0, learning_rate=0.05).double(), Watch()
    fitted(plain, loader(3), max_epochs=2, callbacks=[plain_watch])
    assert_same(watch.steps[-1], plain_watch.steps[-1])


def test_another_fit_goes_on_with_the_weights_that_are_trained() -> None:
    """Two calls of `fit` train like the same Trainer without an average; the average goes on, too."""
    watch, module = Watch(), module_of()
    fitted(module, loader(2), max_epochs=1, callbacks=[watch])
    fitted(module, loader(2), max_epochs=1, callbacks=[watch])
    assert_same(copied(module), averages(watch.steps)[-1])


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # the resumed run saves nothing
@pytest.mark.parametrize("saved", ["steps", "validation"])
def test_a_checkpoint_has_the_average_and_resumes_exactly(saved: str, tmp_path: Path) -> None:
    """`load_from_checkpoint` gives the average, also if it was saved during validation; resuming trains on exactly."""
    when: dict[str, Any] = {"every_n_train_steps": 3} if saved == "steps" else {"every_n_epochs": 1}
    options: dict[str, Any] = {"max_epochs": 3, "validation": loader(1)}
    watch, whole = Watch(), module_of()
    saving = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, **when)
    fitted(whole, loader(3), callbacks=[watch, saving], enable_checkpointing=True, **options)
    file = tmp_path / "step=3.ckpt"
    read = torch.load(file, weights_only=True)
    expected = averages(watch.steps)[2]
    assert_same({name.removeprefix("model."): value for name, value in read[TRAINED].items()}, watch.steps[2])
    average = {name.removeprefix("model."): value for name, value in read["state_dict"].items()}
    assert_same({name: average[name] for name in expected}, expected)
    loaded = copied(MultiTaskModule.load_from_checkpoint(file))
    assert all(torch.equal(value, average[name].to(value.dtype)) for name, value in loaded.items())
    resumed = module_of(seed=9)
    fitted(resumed, loader(3), checkpoint=file, **options)
    assert all(torch.equal(value, copied(whole)[name]) for name, value in copied(resumed).items())


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5, float("nan")])
def test_a_decay_out_of_range_is_refused(decay: float) -> None:
    """The message has the setting and its range."""
    with pytest.raises(ValueError, match="the decay of the moving average must be between 0 and 1"):
        MultiTaskModule(TEXT, ema=decay)
