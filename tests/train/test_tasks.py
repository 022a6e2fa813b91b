"""The loss of one to four tasks of any kinds, under every balance."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.train.criterion import MultiTaskLoss
from tests.drawn import BALANCES, KINDS, ONE_TO_FOUR, Drawn, tasks

GRADIENTS = BALANCES[3:]
"""Balances that read gradients."""


@given(drawn=tasks(), seed=st.integers(0, 99), rows=st.sampled_from([0, 1, 7]))
@settings(max_examples=40)
def test_the_sum_is_that_of_each_task_alone(drawn: Drawn, seed: int, rows: int) -> None:
    """Whatever else the spec contains, a task's loss and gradient equal those of a spec with only this task."""
    batch = drawn.rows(rows, seed)
    logits = {name: value.requires_grad_() for name, value in drawn.logits(rows, seed).items()}
    total, parts = MultiTaskLoss(archspec.load(drawn.text()))(logits, batch)
    total.backward()
    assert total.item() == pytest.approx(sum(part.item() for part in parts.values()), abs=1e-6)
    for place, name in enumerate(drawn.names):
        alone = Drawn((drawn.kinds[place],), (drawn.spaces[place],), (drawn.weighted[place],))
        own = {"t0": batch[name], "in0": batch[f"in{place}"], "v0": batch[f"v{place}"]}
        output = logits[name].detach().clone().requires_grad_()
        loss, _ = MultiTaskLoss(archspec.load(alone.text()))({"t0": output}, own)
        loss.backward()
        assert loss.item() == parts[name].item()
        assert torch.equal(output.grad, logits[name].grad)  # type: ignore[arg-type] # both have a gradient


@pytest.mark.parametrize(("drawn", "balance"), list(product(ONE_TO_FOUR, BALANCES)), ids=str)
def test_every_balance_takes_any_tasks(drawn: Drawn, balance: str) -> None:
    """Batches with rows, without rows in any sample space, or empty give finite losses and gradients, and no error."""
    model = archspec.compile(drawn.text(balance), seed=0)
    criterion = MultiTaskLoss(model)
    for batch in (drawn.rows(8), drawn.rows(8, inside=0.0), drawn.rows(0), drawn.rows(1), drawn.rows(8, seed=1)):
        model.zero_grad()
        total, _ = criterion(model(batch), batch)
        total.backward()
        criterion.next_epoch()
        assert total.isfinite()
        for learned in (*model.parameters(), *criterion.parameters()):
            assert learned.grad is not None
            assert learned.grad.isfinite().all()


@pytest.mark.parametrize(("kind", "balance"), list(product(KINDS, GRADIENTS)))
def test_one_task_has_nothing_to_be_balanced_against(kind: str, balance: str) -> None:
    """With a single task, a balance that combines gradients equals `sum`, and the loss is the task's own."""
    drawn = Drawn((kind,), (False,), (False,))
    batch, found = drawn.rows(6), []
    for name in (balance, "sum"):
        model = archspec.compile(drawn.text(name), seed=0)
        criterion = MultiTaskLoss(model)
        for _ in range(2):
            total, parts = criterion(model(batch), batch)
            assert total.item() == parts["t0"].item()
            total.backward()
            criterion.next_epoch()
        found.append([parameter.grad for parameter in model.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
