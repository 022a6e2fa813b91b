"""Several optimizers as one: the same steps, one state, and everything that a Trainer does to a single optimizer."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.optim import SGD, AdamW, Optimizer, SparseAdam
from torch.optim.lr_scheduler import LambdaLR

from archspec.lightning import CombinedOptimizer, MultiTaskModule, RowWiseAdagrad
from archspec.lightning.clipping import clip
from tests.lightning.loops import TEXT, fitted, loader_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archspec.train.groups import ParameterGroup

SPARSE = TEXT.replace("vocab: 4, dim: 2", "vocab: 4, dim: 2, sparse_grad: true")


def network(*, sparse: bool = True) -> nn.ModuleList:
    """A table and a layer, in float64."""
    torch.manual_seed(0)
    return nn.ModuleList([nn.Embedding(6, 3, sparse=sparse), nn.Linear(3, 1)]).double()


def parts(net: nn.ModuleList) -> list[Optimizer]:
    """AdamW for the layer, SparseAdam for the table."""
    return [AdamW(net[1].parameters(), lr=0.1, weight_decay=0.1), SparseAdam(net[0].parameters(), lr=0.2)]


def backward(net: nn.ModuleList, step: int) -> torch.Tensor:
    """The loss of a batch in which a row of the table occurs twice, after its backward pass."""
    net.zero_grad()
    loss: torch.Tensor = net[1](net[0](torch.tensor([step % 6, 2, 2]))).square().sum()
    loss.backward()  # type: ignore[no-untyped-call] # torch's own
    return loss


def state_of(net: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all weights."""
    return {name: value.detach().clone() for name, value in net.named_parameters()}


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    """The same tensors, bit for bit."""
    torch.testing.assert_close(second, first, rtol=0, atol=0)


def test_a_step_is_the_steps_of_the_parts() -> None:
    """Bit for bit, with a scheduler that scales the rates of both, and with the state saved and loaded in between."""
    apart, together = network(), network()
    separate, one = parts(apart), CombinedOptimizer(parts(together))
    schedules = [LambdaLR(optimizer, lambda step: 0.9**step) for optimizer in (*separate, one)]
    for step in range(6):
        backward(apart, step)
        for optimizer in separate:
            optimizer.step()
        backward(together, step)
        one.step()
        for schedule in schedules:
            schedule.step()
        if step == 2:
            saved = deepcopy(one.state_dict())
            one = CombinedOptimizer(parts(together))
            one.load_state_dict(saved)
            schedules[2] = LambdaLR(one, lambda step: 0.9**step, last_epoch=schedules[2].last_epoch - 1)
    assert_same(state_of(apart), state_of(together))
    assert [group["lr"] for group in one.param_groups] == [optimizer.param_groups[0]["lr"] for optimizer in separate]


def test_a_copy_is_independent() -> None:
    """A deep copy has copies of its parts, which share its state."""
    one = CombinedOptimizer(parts(network()))
    copied = deepcopy(one)
    copied.param_groups[0]["lr"] = 7.0
    assert (copied.parts[0].param_groups[0]["lr"], one.parts[0].param_groups[0]["lr"]) == (7.0, 0.1)
    assert all(part.state is copied.state for part in copied.parts)


def test_groups_that_fit_nowhere_are_refused() -> None:
    """A parameter in two parts, and a group that is added later, would be trained twice or never."""
    net = network()
    with pytest.raises(ValueError, match="more than one parameter group"):
        CombinedOptimizer([SGD(net.parameters()), SGD(net[1].parameters())])
    with pytest.raises(TypeError, match="takes no further groups"):
        CombinedOptimizer(parts(net)).add_param_group({"params": [nn.Parameter(torch.zeros(1))]})


@pytest.mark.parametrize("by_value", [False, True])
@pytest.mark.parametrize("largest", [0.01, 1e3])
def test_sparse_gradients_are_clipped_like_dense_ones(largest: float, *, by_value: bool) -> None:
    """The norm is that of all gradients, with repeated rows added up; a norm that is small enough changes nothing."""
    nets = [network(sparse=True), network(sparse=False)]
    for net in nets:
        backward(net, 1)
    clip(nets[0].parameters(), largest, by_value=by_value)
    if by_value:
        nn.utils.clip_grad_value_(nets[1].parameters(), largest)
    else:
        nn.utils.clip_grad_norm_(nets[1].parameters(), largest)
    for sparse, dense in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert sparse.grad is not None
        torch.testing.assert_close(sparse.grad.to_dense(), dense.grad, rtol=1e-14, atol=0)


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_a_trainer_schedules_clips_and_accumulates_sparse_gradients(algorithm: str) -> None:
    """SGD on a sparse table equals SGD on a dense one, with all three; steps are counted once per optimizer step."""
    found = []
    for text in (TEXT, SPARSE):

        def halves(groups: list[ParameterGroup]) -> Any:  # noqa: ANN401 - Lightning's dictionary
            optimizers = [SGD([{**group}], lr=0.5) for group in groups]
            one = CombinedOptimizer(optimizers)
            schedule = {"scheduler": LambdaLR(one, lambda step: 0.8**step), "interval": "step"}
            return {"optimizer": one, "lr_scheduler": schedule}

        module = MultiTaskModule(text, seed=0, optimizer=halves)
        trainer = fitted(
            module, loader_of(4), max_epochs=2, gradient_clip_val=0.05, gradient_clip_algorithm=algorithm,
            accumulate_grad_batches=2,
        )  # fmt: skip
        assert (trainer.global_step, int(module.criterion.steps)) == (4, 4)
        assert {group["lr"] for group in trainer.optimizers[0].param_groups} == {0.5 * 0.8**4}
        found.append(dict(module.model.named_weights()))  # type: ignore[operator] # a compiled model
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


def test_the_schedule_of_the_module_scales_all_rates() -> None:
    """Row-wise Adagrad and AdamW both end at the rate 0 of a linear schedule's last step."""
    module = MultiTaskModule(SPARSE, table_optimizer="rowwise_adagrad", table_learning_rate=0.5, schedule="linear")
    (one,) = fitted(module, loader_of(3), gradient_clip_val=1.0).optimizers
    assert {type(part) for part in one.parts} == {AdamW, RowWiseAdagrad}  # type: ignore[attr-defined] # it is combined
    assert [group["lr"] for group in one.param_groups] == [0.0] * len(one.param_groups)
    assert {group["initial_lr"] for group in one.param_groups} == {0.5, 1e-3}


def test_gradients_are_unscaled_in_float16() -> None:
    """A gradient scaler treats it as one optimizer: dense and sparse gradients are unscaled and clipped."""
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    module = MultiTaskModule(SPARSE, seed=0)
    before = state_of(module)
    plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    fitted(module, loader_of(2), plugins=[plugin], gradient_clip_val=1.0)
    assert scaler.get_scale() == 256.0  # no step was skipped
    assert all(bool((value != before[name]).any()) for name, value in state_of(module).items())
    assert all(bool(value.isfinite().all()) for value in state_of(module).values())


def apart(whole: dict[str, Any], optimizer: Optimizer) -> Iterator[dict[str, Any]]:
    """The state of each part, with its parameters numbered from 0."""
    groups, first = iter(whole["param_groups"]), 0
    for part in optimizer.parts:  # type: ignore[attr-defined] # it is combined
        own = [next(groups) for _ in part.param_groups]
        numbers = [number for group in own for number in group["params"]]
        own = [{**group, "params": [number - first for number in group["params"]]} for group in own]
        yield {"state": {number - first: whole["state"][number] for number in numbers}, "param_groups": own}
        first += len(numbers)


def test_checkpoints_with_a_state_per_optimizer_are_converted(tmp_path: Path) -> None:
    """Earlier versions saved one state per optimizer, and counted each one's steps: such a run goes on exactly."""
    whole = MultiTaskModule(SPARSE, seed=0)
    fitted(whole, loader_of(3), max_epochs=2)
    half = MultiTaskModule(SPARSE, seed=0)
    trainer = fitted(half, loader_of(3))
    trainer.save_checkpoint(tmp_path / "new.ckpt")
    saved = torch.load(tmp_path / "new.ckpt", weights_only=True)
    saved["optimizer_states"] = [*apart(saved["optimizer_states"][0], trainer.optimizers[0])]
    loop = saved["loops"]["fit_loop"]
    counts = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    manual = {span: {"ready": 2 * counts[span]["ready"], "completed": 2 * counts[span]["completed"]} for span in counts}
    loop["epoch_loop.manual_optimization.optim_step_progress"] = manual
    for span in counts.values():
        span.update({"ready": 0, "completed": 0})
    torch.save(saved, tmp_path / "old.ckpt")
    resumed = MultiTaskModule(SPARSE, seed=5)
    trainer = fitted(resumed, loader_of(3), checkpoint=tmp_path / "old.ckpt", max_epochs=2)
    assert_same(state_of(whole), state_of(resumed))
    assert trainer.global_step == 6
