"""Balances of losses, each compared with hand-computed cases: two tasks, few rows."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from torch import Tensor

import archspec
from archspec.train.criterion import MultiTaskLoss

BOTTOM = """
archspec: 1
name: bottom
inputs:
  x: {{kind: dense, dim: 2}}
tasks:
  a: {{kind: regression, when: has_a}}
  b: {{kind: regression, weight: 2.0}}
levels:
  - experts:
      bottom: {{units: [3], activation: tanh}}
towers:
  $task: {{from: level1.experts.bottom, units: []}}
balance: {balance}
"""


def criterion_of(balance: str) -> MultiTaskLoss:
    """A criterion on logits only, for balances that read no gradients."""
    return MultiTaskLoss(archspec.load(BOTTOM.format(balance=balance)))


def losses_of(criterion: MultiTaskLoss, a: float, b: float) -> Tensor:
    """The total if task a's weighted loss is `a` and task b's is `b`."""
    logits = {"a": torch.tensor([a**0.5]), "b": torch.tensor([(b / 2) ** 0.5])}
    total: Tensor = criterion(logits, {"a": torch.zeros(1), "b": torch.zeros(1), "has_a": torch.ones(1)})[0]
    return total


def test_sum_adds_weighted_losses() -> None:
    """L = sum_k w_k L_k."""
    assert losses_of(criterion_of("sum"), 3.0, 4.0).item() == pytest.approx(7.0)


def test_uncertainty_weighs_by_learned_log_variances() -> None:
    """L = sum_k (exp(-s_k) L_k + s_k) / 2, with the gradient (1 - exp(-s_k) L_k) / 2 for s_k."""
    criterion = criterion_of("uncertainty")
    (log_variances,) = criterion.parameters()
    with torch.no_grad():
        log_variances.copy_(torch.tensor([0.0, log(2)]))
    total = losses_of(criterion, 3.0, 4.0)
    torch.autograd.backward(total)
    assert total.item() == pytest.approx((3.0 + 4.0 / 2 + log(2)) / 2)
    torch.testing.assert_close(log_variances.grad, torch.tensor([(1 - 3.0) / 2, (1 - 2.0) / 2]))


def test_dwa_follows_the_ratio_of_two_epochs() -> None:
    """v = K softmax((L(t-1) / L(t-2)) / temperature) from the third epoch on; 1 before."""
    criterion = criterion_of("{kind: dwa, temperature: 2.0}")
    for a, b in ((2.0, 4.0), (1.0, 4.0)):
        assert losses_of(criterion, a, b).item() == pytest.approx(a + b)
        criterion.next_epoch()
    first = exp(0.5 / 2) / (exp(0.5 / 2) + exp(1.0 / 2))
    assert losses_of(criterion, 1.0, 1.0).item() == pytest.approx(2.0)
    assert losses_of(criterion, 1.0, 0.0).item() == pytest.approx(2 * first, rel=1e-5)


def test_dwa_averages_over_the_steps_of_an_epoch() -> None:
    """An epoch's loss is the mean over its training calls; evaluation calls do not count."""
    criterion = criterion_of("dwa")
    for a in (1.0, 3.0):
        losses_of(criterion, a, 1.0)
    criterion.eval()
    losses_of(criterion, 100.0, 1.0)
    criterion.train()
    criterion.next_epoch()
    assert criterion.balance.last.tolist() == pytest.approx([2.0, 1.0])  # type: ignore[operator] # a buffer


def test_dwa_survives_a_task_without_rows() -> None:
    """A task that had no loss in an epoch gets the ratio 1, not NaN."""
    criterion = criterion_of("dwa")
    for _ in range(3):
        losses_of(criterion, 0.0, 1.0)
        criterion.next_epoch()
    assert losses_of(criterion, 1.0, 0.0).item() == pytest.approx(1.0)


def step_of(criterion: MultiTaskLoss, *, has_a: float, a: float = 3.0, b: float = 4.0) -> tuple[Tensor, Tensor]:
    """The total and its gradient for the balance's parameters, where task a has a row in the batch or none."""
    logits = {"a": torch.tensor([a**0.5]), "b": torch.tensor([(b / 2) ** 0.5])}
    batch = {"a": torch.zeros(1), "b": torch.zeros(1), "has_a": torch.full((1,), has_a)}
    total: Tensor = criterion(logits, batch)[0]
    learned = list(criterion.parameters())
    return total, torch.autograd.grad(total, learned)[0] if learned else total.detach()


def test_uncertainty_leaves_the_whole_term_of_a_task_without_rows_out() -> None:
    """Without rows of task a, the total has neither its loss nor its log variance, which gets no gradient."""
    criterion = criterion_of("uncertainty")
    (log_variances,) = criterion.parameters()
    with torch.no_grad():
        log_variances.copy_(torch.tensor([5.0, log(2)]))
    total, gradient = step_of(criterion, has_a=0.0)
    assert total.item() == pytest.approx((4.0 / 2 + log(2)) / 2)
    torch.testing.assert_close(gradient, torch.tensor([0.0, (1 - 2.0) / 2]))


def test_uncertainty_counts_one_row_in_evaluation_too() -> None:
    """With or without a row of task a, the total in evaluation equals that in training."""
    criterion = criterion_of("uncertainty")
    with torch.no_grad():
        next(criterion.parameters()).copy_(torch.tensor([5.0, log(2)]))
    for has_a in (0.0, 1.0):
        training = step_of(criterion.train(), has_a=has_a)[0]
        assert step_of(criterion.eval(), has_a=has_a)[0].item() == training.item()


def test_uncertainty_weighs_a_seldom_task_by_its_loss() -> None:
    """With rows of task a in a tenth of the batches, its weight exp(-s) converges to 1 / L_a, as with rows in all."""
    criterion = criterion_of("uncertainty")
    (log_variances,) = criterion.parameters()
    optimizer = torch.optim.SGD([log_variances], lr=0.2)
    for step in range(1000):
        total, log_variances.grad = step_of(criterion, has_a=float(step % 10 == 0), a=1.4, b=1.4)
        assert total.isfinite()
        optimizer.step()
    assert (-log_variances).exp().tolist() == pytest.approx([1 / 1.4, 1 / 1.4], rel=1e-3)


def test_dwa_averages_over_the_batches_that_have_rows() -> None:
    """If only the first of three batches has rows of task a, a's loss of the epoch is that batch's, not a third."""
    criterion = criterion_of("dwa")
    for has_a in (1.0, 0.0, 0.0):
        step_of(criterion, has_a=has_a)
    criterion.next_epoch()
    assert criterion.balance.last.tolist() == pytest.approx([3.0, 4.0])  # type: ignore[operator] # a buffer
    step_of(criterion, has_a=0.0)
    criterion.next_epoch()
    assert criterion.balance.last.tolist() == pytest.approx([3.0, 4.0])  # type: ignore[operator] # a buffer
