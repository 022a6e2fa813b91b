"""Which optimizers are created; every trained parameter is in exactly one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.optim import SGD, AdamW, Optimizer, SparseAdam
from torch.optim.lr_scheduler import ExponentialLR

import archspec
from archspec.lightning import CombinedOptimizer, MultiTaskModule, Optimizers, RowWiseAdagrad, TableAdamW
from archspec.lightning.optimizers import check_trainer, dense_tables_hint, table_optimizer_problem
from tests.lightning.loops import TEXT, fitted, loader_of

if TYPE_CHECKING:
    from archspec.train.groups import ParameterGroup

SPARSE = TEXT.replace("vocab: 4, dim: 2", "vocab: 4, dim: 2, sparse_grad: true")


def optimizers_of(module: MultiTaskModule) -> list[Optimizer]:
    """The optimizers of the module."""
    return fitted(module, loader_of(1)).optimizers


def parts_of(module: MultiTaskModule) -> tuple[Optimizer, ...]:
    """The optimizers that are combined into the only one of the module."""
    (optimizer,) = optimizers_of(module)
    assert isinstance(optimizer, CombinedOptimizer)
    return optimizer.parts


def test_all_that_learns_is_in_one_optimizer() -> None:
    """Every parameter of the model and of the balance occurs exactly once; weight decay applies to the model's only."""
    module = MultiTaskModule(TEXT, weight_decay=0.1, learning_rate=0.02)
    (optimizer,) = optimizers_of(module)
    assert isinstance(optimizer, AdamW)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(held) == len({id(parameter) for parameter in held})
    assert {id(parameter) for parameter in held} == {id(parameter) for parameter in module.parameters()}
    decays = {group["name"]: group["weight_decay"] for group in optimizer.param_groups}
    assert decays.pop("balance") == 0
    assert set(decays.values()) == {0.1}
    assert {group["lr"] for group in optimizer.param_groups} == {0.02}
    assert all(group["fused"] for group in optimizer.param_groups)


def test_sparse_tables_have_an_optimizer_of_their_own() -> None:
    """SparseAdam for sparse tables and AdamW for the rest both update weights; the clock counts each step once."""
    module = MultiTaskModule(SPARSE, seed=0)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    found = parts_of(module)
    assert [type(optimizer) for optimizer in found] == [AdamW, SparseAdam]
    assert [group["name"] for group in found[1].param_groups] == ["tables"]
    assert not any(torch.equal(old, new) for old, new in zip(before, module.parameters(), strict=True))
    assert int(module.criterion.steps) == 1


def test_sparse_training_is_dense_training_where_every_row_is_seen() -> None:
    """One step of SparseAdam updates the rows of the batch like Adam."""
    moved = []
    for text in (TEXT, SPARSE):
        module = MultiTaskModule(text, seed=0, learning_rate=0.05)
        optimizers_of(module)
        moved.append({name: value.clone() for name, value in module.model.named_weights()})  # type: ignore[operator] # a compiled model
    for name, value in moved[0].items():
        torch.testing.assert_close(moved[1][name], value, rtol=0, atol=1e-5)


def test_a_hook_makes_one_optimizer_of_all_groups() -> None:
    """It gets groups with names and tasks, including the balance's; SGD takes sparse gradients, so one is enough."""
    seen: list[ParameterGroup] = []

    def hook(groups: list[ParameterGroup]) -> Optimizer:
        seen.extend(groups)
        return SGD([{**group} for group in groups], lr=0.1)

    module = MultiTaskModule(SPARSE, optimizer=hook)
    (optimizer,) = optimizers_of(module)
    assert isinstance(optimizer, SGD)
    assert module.automatic_optimization
    assert (seen[0]["name"], seen[0]["sparse"]) == ("tables", True)
    assert (seen[-1]["name"], seen[-1]["weights"]) == ("balance", ["balance.log_variances"])


def test_a_hook_may_bring_a_schedule() -> None:
    """A hook may return `{"optimizer": ..., "lr_scheduler": ...}`; Lightning steps the scheduler."""
    made: list[Optimizer] = []

    def hook(groups: list[ParameterGroup]) -> Optimizers:
        made.append(SGD([{**group} for group in groups], lr=1.0))
        return {"optimizer": made[0], "lr_scheduler": ExponentialLR(made[0], gamma=0.5)}

    fitted(MultiTaskModule(TEXT, optimizer=hook), loader_of(1), max_epochs=2)
    assert made[0].param_groups[0]["lr"] == 0.25


def test_sparse_tables_in_several_processes_are_refused() -> None:
    """DDP cannot sum a compiled model's sparse gradients: one sentence replaces torch's message about storages."""

    class TwoProcesses:
        world_size = 2

    with pytest.raises(
        MisconfigurationException, match="`mixed` has tables with sparse gradients, which DDP and FSDP2"
    ):
        check_trainer(TwoProcesses(), archspec.load(SPARSE), [])  # type: ignore[arg-type] # all that it asks


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_gradients_are_clipped(precision: Any) -> None:  # noqa: ANN401 - a literal of Lightning's
    """The optimizer receives gradients of the requested norm, also in mixed precision."""
    norms: list[float] = []

    class Watched(AdamW):
        def step(self, closure: Any = None) -> Any:  # noqa: ANN401 - torch's signature
            """Records the norm, which is clipped after Lightning's closure has run."""
            found = closure()
            parameters = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
            norms.append(float(torch.cat([p.grad.flatten() for p in parameters]).norm()))
            return found

    def hook(groups: list[ParameterGroup]) -> Optimizer:
        return Watched([{**group} for group in groups], lr=1e-3)

    options = {"precision": precision, "gradient_clip_val": 0.01}
    fitted(MultiTaskModule(TEXT, optimizer=hook), loader_of(2), **options)
    assert norms == pytest.approx([0.01, 0.01], rel=1e-3)
    module = MultiTaskModule(TEXT, seed=0)
    fitted(module, loader_of(1), **options)  # the default optimizer, which is not fused where Lightning cannot clip it
    assert int(module.criterion.steps) == 1


def test_a_fused_optimizer_of_a_hook_that_cannot_be_clipped_is_refused() -> None:
    """It is refused in one sentence before the first step, for an optimizer alone and for one with a schedule."""

    def alone(groups: list[ParameterGroup]) -> Optimizer:
        return AdamW([{**group} for group in groups], fused=True)

    def scheduled(groups: list[ParameterGroup]) -> Optimizers:
        fused = alone(groups)
        return {"optimizer": fused, "lr_scheduler": ExponentialLR(fused, gamma=0.5)}

    for made in (alone, scheduled):
        module = MultiTaskModule(TEXT, optimizer=made)
        with pytest.raises(MisconfigurationException, match="cannot clip the gradients of a fused optimizer"):
            fitted(module, loader_of(1), precision="bf16-mixed", gradient_clip_val=1.0)
        assert int(module.criterion.steps) == 0


@pytest.mark.parametrize("text", [TEXT, SPARSE])
def test_tables_have_their_own_optimizer_and_rate(text: str) -> None:
    """Row-wise Adagrad trains exactly the tables, with their own rate, whether their gradients are dense or sparse."""
    module = MultiTaskModule(text, seed=0, table_learning_rate=0.5, table_optimizer="rowwise_adagrad")
    others, tables = parts_of(module)
    assert isinstance(others, AdamW)
    assert isinstance(tables, RowWiseAdagrad)
    assert [(group["name"], group["lr"]) for group in tables.param_groups] == [("tables", 0.5)]
    assert {group["lr"] for group in others.param_groups} == {1e-3}
    assert int(module.criterion.steps) == 1


def test_adam_of_sparse_gradients_is_adam_of_dense_ones() -> None:
    """With `table_optimizer="adam"`, a whole training with weight decay has the same weights either way."""
    dense, sparse = (
        MultiTaskModule(text, seed=0, learning_rate=0.05, weight_decay=0.1, table_optimizer="adam")
        for text in (TEXT, SPARSE)
    )
    fitted(dense, loader_of(3))
    (optimizer,) = fitted(sparse, loader_of(3)).optimizers
    assert [type(part) for part in optimizer.parts] == [AdamW, TableAdamW]  # type: ignore[attr-defined] # it is combined
    expected = dict(dense.model.named_weights())  # type: ignore[operator] # a compiled model
    for name, value in sparse.model.named_weights():  # type: ignore[operator] # a compiled model
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-5)


LARGE = """
archspec: 1
name: large
inputs:
  a: {kind: sparse, vocab: 3000000, dim: 2}
  b: {kind: sparse, table: a}
  c: {kind: sequence, vocab: 2000000, dim: 2}
  d: {kind: sparse, vocab: 9000000, dim: 2, trainable: false}
  e: {kind: sparse, vocab: 4000, dim: 2}
tasks: {click: {kind: binary}, like: {kind: binary}}
towers: {$task: {from: inputs}}
"""


def test_large_tables_with_dense_gradients_draw_a_hint() -> None:
    """It names the inputs that own large trainable tables; without dense gradients, there is none."""
    hint = dense_tables_hint(archspec.load(LARGE), batch=512)
    assert hint is not None
    assert hint.startswith(
        "the gradients of `a` and `c` are dense, so each step goes through all 5,000,000 rows of their tables"
    )
    followed = LARGE.replace("000000, dim: 2}", "000000, dim: 2, sparse_grad: true}")
    assert dense_tables_hint(archspec.load(followed), batch=512) is None
    assert table_optimizer_problem(archspec.load(followed), "adam") is None


@pytest.mark.parametrize(
    ("old", "new", "batch"),
    [
        ("000000, dim: 2}", "0000, dim: 2}", 512),
        ("", "", 400_000),
        ("tasks:", "balance: {kind: pcgrad}\ntasks:", 512),
    ],
)
def test_other_tables_draw_no_hint(old: str, new: str, batch: int) -> None:
    """Small tables, batches that look up many rows, and a balance that reads dense gradients draw no hint."""
    assert dense_tables_hint(archspec.load(LARGE.replace(old, new) if old else LARGE), batch) is None


def test_the_rate_of_tables_alone_keeps_one_fused_optimizer() -> None:
    """A rate of tables is a rate of one group of the default AdamW."""
    (optimizer,) = optimizers_of(MultiTaskModule(TEXT, table_learning_rate=0.5))
    assert {group["name"]: group["lr"] for group in optimizer.param_groups}["tables"] == 0.5
    assert all(group["fused"] for group in optimizer.param_groups)


@pytest.mark.parametrize(("text", "name"), [(TEXT, "sparse_adam"), (TEXT, "sgd")])
def test_an_optimizer_that_cannot_train_the_tables_is_refused(text: str, name: Any) -> None:  # noqa: ANN401 - wrong on purpose
    """The message names the setting, and the inputs or the known optimizers."""
    with pytest.raises(ValueError, match=f"table_optimizer='{name}'.*(`user`|known: adam)"):
        MultiTaskModule(text, table_optimizer=name)


def test_a_hook_excludes_the_settings_of_tables() -> None:
    """Settings that the hook would ignore are refused."""
    with pytest.raises(ValueError, match="omit table_optimizer"):
        MultiTaskModule(
            TEXT, table_learning_rate=0.1, optimizer=lambda groups: SGD([{**group} for group in groups], lr=0.1)
        )


def test_a_list_of_anything_else_is_refused() -> None:
    """A hook that returns dictionaries in a list gets one sentence, which names what to use instead."""

    def hook(groups: list[ParameterGroup]) -> Any:  # noqa: ANN401 - wrong on purpose
        return [{"optimizer": SGD([{**group} for group in groups], lr=0.1)}]

    with pytest.raises(MisconfigurationException, match=r"CombinedOptimizer\(\[...\]\)"):
        fitted(MultiTaskModule(TEXT, optimizer=hook), loader_of(1))


def test_the_learning_rate_can_be_set_later() -> None:
    """As Lightning's `Tuner.lr_find` does before it makes the optimizer again; the rate of tables stays."""
    module = MultiTaskModule(TEXT, learning_rate=0.1, table_learning_rate=0.5)
    module.learning_rate = 0.02
    (optimizer,) = optimizers_of(module)
    rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
    assert (module.learning_rate, rates.pop("tables"), set(rates.values())) == (0.02, 0.5, {0.02})
