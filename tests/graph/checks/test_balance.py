"""Balances that read gradients: what validation accepts can be trained, and what it rejects cannot."""

from __future__ import annotations

import pytest

import archspec
from archspec.diagnostics import SpecError
from archspec.train.criterion import MultiTaskLoss

READ = ["gradnorm", "mgda", "pcgrad", "upgrad", "imtl_g", "aligned_mtl"]


def text(balance: str, towers: str, *, sparse: bool = False, levels: str = "") -> str:
    """A spec with two tasks."""
    u, v = f"{{kind: sparse, vocab: 9, dim: 2{', sparse_grad: true' * sparse}}}", "{kind: sparse, vocab: 9, dim: 2}"
    return (
        f"archspec: 1\nname: b\ninputs: {{u: {u}, v: {v}, x: {{kind: dense, dim: 2}}}}\n"
        f"tasks: {{a: {{}}, b: {{}}}}\n{levels}towers: {towers}\nbalance: {balance}\n"
    )


@pytest.mark.parametrize("balance", READ)
@pytest.mark.parametrize(
    "towers", ["{$task: {from: x}}", "{a: {from: u}, b: {from: v}}", "{a: {from: u}, b: {from: {detach: u}}}"]
)
def test_tasks_without_shared_weights_are_refused(balance: str, towers: str) -> None:
    """Towers on numbers, on separate tables, or behind `detach` share no weights whose gradients could be balanced."""
    with pytest.raises(SpecError, match="share none") as told:
        archspec.load(text(balance, towers))
    assert told.value.status == 1
    assert told.value.diagnostics[0].span is not None
    archspec.load(text("sum", towers))


@pytest.mark.parametrize("balance", READ)
def test_sparse_gradients_that_would_be_read_are_refused(balance: str) -> None:
    """A shared table with sparse gradients is an error at its `sparse_grad`; a table of a single task is allowed."""
    with pytest.raises(SpecError, match="input `u` are sparse"):
        archspec.load(text(balance, "{$task: {from: u}}", sparse=True))
    archspec.load(text(balance, "{a: {from: [u, v]}, b: {from: v}}", sparse=True))


def test_a_table_below_the_last_shared_weights_may_be_sparse() -> None:
    """`gradnorm` reads only the gradients of the last shared weights, so tables below a shared expert may be sparse."""
    levels = "levels: [{experts: {e: {units: [3]}}, gates: {$task: {sees: e}}}]\n"
    archspec.load(text("gradnorm", "{$task: {}}", sparse=True, levels=levels))
    with pytest.raises(SpecError, match="AS738"):
        archspec.load(text("mgda", "{$task: {}}", sparse=True, levels=levels))


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("balance", ["gradnorm", "pcgrad"])
@pytest.mark.parametrize("towers", ["{$task: {from: u}}", "{$task: {from: x}}", "{a: {from: [u, v]}, b: {from: v}}"])
def test_what_is_valid_trains(balance: str, towers: str, *, sparse: bool) -> None:
    """A loss that the check accepts can be built and differentiated; one that it rejects cannot."""
    from unittest import mock

    import torch

    batch = {"u": torch.arange(4), "v": torch.arange(4), "x": torch.rand(4, 2), "a": torch.ones(4), "b": torch.zeros(4)}
    source = text(balance, towers, sparse=sparse)
    with mock.patch("archspec.graph.load.check_balance"):
        spec = archspec.load(source)
    model = archspec.compile(spec, seed=0)

    def step() -> None:
        criterion = MultiTaskLoss(model)
        criterion(model(batch), batch)[0].backward()

    try:
        archspec.load(source)
    except SpecError:
        with pytest.raises(ValueError, match=r"share none|sparse gradients"):
            step()
    else:
        step()
