"""MultiTaskLoss on hand-computed cases: two tasks, few rows, float64."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own idiom

import archspec
from archspec.train.criterion import MultiTaskLoss

if TYPE_CHECKING:
    from collections.abc import Mapping

SPEC = """
archspec: 1
name: two
inputs:
  x: {{kind: dense, dim: 2}}
tasks: {tasks}
towers:
  $task: {{units: []}}
"""


def criterion_of(tasks: str) -> MultiTaskLoss:
    """The criterion of a spec with these tasks."""
    return MultiTaskLoss(archspec.load(SPEC.format(tasks=tasks)))


def leaf(*values: float) -> Tensor:
    """Logits that require gradients."""
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def labels(*values: float) -> Tensor:
    """A label column."""
    return torch.tensor(values, dtype=torch.float64)


def test_binary_loss_is_the_logistic_loss_with_its_gradient() -> None:
    """-y log s(l) - (1-y) log s(-l), averaged over rows; its gradient is (s(l) - y) / B."""
    logits = leaf(0.3, -1.2)
    loss, parts = criterion_of("{a: {kind: binary}}")({"a": logits}, {"a": labels(1, 0)})
    loss.backward()
    expected = (log(1 + exp(-0.3)) + log(1 + exp(-1.2))) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-14)
    assert parts["a"].item() == loss.item()
    torch.testing.assert_close(logits.grad, (torch.sigmoid(logits.detach()) - labels(1, 0)) / 2, rtol=0, atol=1e-15)


def test_squared_error_of_a_binary_task_is_that_of_its_probability() -> None:
    """(s(l) - y)^2 with the gradient 2 (s(l) - y) s(l) (1 - s(l)) / B; labels are checked as for any binary task."""
    criterion = criterion_of("{a: {kind: binary, loss: mse}}")
    logits, truth = leaf(0.3, -1.2, 900.0, -900.0), labels(1, 0, 0.25, 1)
    total, _ = criterion({"a": logits}, {"a": truth})
    total.backward()
    p = torch.sigmoid(logits.detach())
    assert total.item() == pytest.approx((p - truth).square().mean().item(), abs=1e-15)
    torch.testing.assert_close(logits.grad, 2 * (p - truth) * p * (1 - p) / 4, rtol=0, atol=1e-15)
    assert torch.autograd.gradcheck(lambda value: criterion({"a": value}, {"a": truth})[0], logits)
    with pytest.raises(ValueError, match=r"2.0 in row 0 of column `a` is outside 0..1"):
        criterion({"a": leaf(0.0)}, {"a": labels(2)})


@pytest.mark.parametrize("loss", ["mse", "[logistic, mse]"])
def test_squared_error_of_a_product_is_that_of_the_product(loss: str) -> None:
    """A fusion that is a binary task (ESMM) is treated as any probability; several losses of one task add up."""
    text = SPEC.format(tasks=f"{{p: {{kind: binary}}, y: {{kind: binary, loss: {loss}}}}}").replace("$task", "p")
    model = archspec.compile(text + "  q: {}\nfusion: {y: {kind: product, of: [p, q]}}\n", seed=0).double()
    batch = {"x": torch.ones(3, 2).double(), "p": labels(0, 1, 1), "y": labels(0, 1, 0)}
    score = model.predict(batch)["y"]
    _, parts = MultiTaskLoss(model)(model(batch), batch)
    expected = (score - batch["y"]).square().mean()
    if "logistic" in loss:
        expected = expected + F.binary_cross_entropy(score, batch["y"])
    assert parts["y"].item() == pytest.approx(expected.item(), abs=1e-12)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("mse", (0.5**2 + 3.0**2) / 2),
        ("mae", (0.5 + 3.0) / 2),
        ("huber", (0.5**2 / 2 + 1.0 * (3.0 - 0.5)) / 2),
        ("{kind: huber, delta: 2.0}", (0.5**2 / 2 + 2.0 * (3.0 - 1.0)) / 2),
        ("[mse, mae]", (0.5**2 + 3.0**2) / 2 + (0.5 + 3.0) / 2),
    ],
)
def test_regression_losses_have_their_closed_form(loss: str, expected: float) -> None:
    """Squared, absolute and Huber error; several losses of one task add up."""
    criterion = criterion_of(f"{{a: {{kind: regression, loss: {loss}}}}}")
    total, _ = criterion({"a": leaf(1.5, -2.0)}, {"a": labels(1.0, 1.0)})
    assert total.item() == pytest.approx(expected, abs=1e-14)


def test_multiclass_loss_is_cross_entropy() -> None:
    """-log softmax(l)_y, from logits `[B, classes]` and integer labels."""
    logits = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    total, _ = criterion_of("{a: {kind: multiclass, classes: 3}}")({"a": logits}, {"a": torch.tensor([2])})
    total.backward()
    assert total.item() == pytest.approx(log(1 + exp(-1) + exp(-2)), abs=1e-14)
    torch.testing.assert_close(logits.grad, torch.softmax(logits.detach(), 1) - F.one_hot(torch.tensor([2]), 3))


def test_weights_scale_the_total_and_not_the_parts() -> None:
    """The total is L = sum_k w_k L_k; the parts are the unweighted L_k."""
    criterion = criterion_of("{a: {kind: regression, weight: 0.1}, b: {kind: regression, weight: 2.0}}")
    total, parts = criterion({"a": leaf(2.0), "b": leaf(3.0)}, {"a": labels(0.0), "b": labels(0.0)})
    assert [parts["a"].item(), parts["b"].item()] == [4.0, 9.0]
    assert total.item() == pytest.approx(0.1 * 4 + 2 * 9, abs=1e-14)


def test_the_mean_is_over_the_sample_space_only() -> None:
    """With `when`, L = sum_i d_i l_i / sum_i d_i, and rows outside get no gradient, whatever their labels are."""
    logits = leaf(1.0, 2.0, 3.0)
    batch = {"buy": labels(0.0, float("nan"), 1.0), "click": torch.tensor([1, 0, 1])}
    total, _ = criterion_of("{a: {kind: regression, label: buy, when: click}}")({"a": logits}, batch)
    total.backward()
    assert total.item() == pytest.approx((1.0 + 4.0) / 2)
    torch.testing.assert_close(logits.grad, labels(1.0, 0.0, 2.0))


def test_class_labels_outside_the_sample_space_may_be_anything() -> None:
    """A padding label of -1 where `when` is 0 does not reach the cross entropy."""
    logits = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    criterion = criterion_of("{a: {kind: multiclass, classes: 3, when: seen}}")
    total, _ = criterion({"a": logits}, {"a": torch.tensor([0, -1]), "seen": torch.tensor([True, False])})
    assert total.item() == pytest.approx(log(3), abs=1e-14)


@pytest.mark.parametrize("rows", [0, 2])
def test_an_empty_sample_space_gives_zero_with_zero_gradient(rows: int) -> None:
    """If no row counts, the loss and its gradient are 0, not NaN."""
    logits = torch.ones(rows, dtype=torch.float64, requires_grad=True)
    batch = {"a": torch.full((rows,), float("nan")), "click": torch.zeros(rows)}
    total, _ = criterion_of("{a: {kind: binary, when: click}}")({"a": logits}, batch)
    total.backward()
    assert total.item() == 0
    torch.testing.assert_close(logits.grad, torch.zeros(rows, dtype=torch.float64))


def test_row_weights_make_a_weighted_mean() -> None:
    """With `weight_column`, L = sum_i v_i l_i / sum_i v_i over the sample space."""
    criterion = criterion_of("{a: {kind: regression, weight_column: v, when: d}}")
    batch = {"a": labels(0, 0, 0), "v": labels(3.0, 1.0, 5.0), "d": torch.tensor([1, 1, 0])}
    total, _ = criterion({"a": leaf(1.0, 2.0, 7.0)}, batch)
    assert total.item() == pytest.approx((3 * 1 + 1 * 4) / 4)


def totals(criterion: MultiTaskLoss, calls: int) -> list[float]:
    """The totals of several calls with a loss of 1."""
    return [criterion({"a": leaf(1.0)}, {"a": labels(0.0)})[0].item() for _ in range(calls)]


def test_decay_by_step_counts_training_calls() -> None:
    """The weight at step t is weight * rate^t, and the first call has t = 0."""
    criterion = criterion_of("{a: {kind: regression, weight: 2.0, decay: 0.9}}")
    assert totals(criterion, 3) == pytest.approx([2.0, 1.8, 1.62], abs=1e-14)


def test_evaluation_moves_no_clock() -> None:
    """Calls in evaluation mode or without gradients use the current weight and are not counted."""
    criterion = criterion_of("{a: {kind: regression, decay: 0.5}}")
    totals(criterion, 1)
    criterion.eval()
    assert totals(criterion, 2) == [0.5, 0.5]
    criterion.train()
    with torch.no_grad():
        assert totals(criterion, 2) == [0.5, 0.5]
    assert criterion.steps.item() == 1


def test_decay_by_epoch_waits_for_next_epoch() -> None:
    """With `every: epoch`, only next_epoch() advances the clock."""
    criterion = criterion_of("{a: {kind: regression, decay: {rate: 0.5, every: epoch}}}")
    before = totals(criterion, 2)
    criterion.next_epoch()
    assert (before, totals(criterion, 1)) == ([1.0, 1.0], [0.5])


def test_steps_can_be_counted_by_hand() -> None:
    """With count_steps=False only next_step() advances the clock, for gradients accumulated over several batches."""
    spec = archspec.load(SPEC.format(tasks="{a: {kind: regression, decay: 0.5}}"))
    criterion = MultiTaskLoss(spec, count_steps=False)
    before = totals(criterion, 2)
    criterion.next_step()
    assert (before, totals(criterion, 1)) == ([1.0, 1.0], [0.5])


def test_a_checkpoint_holds_the_clocks() -> None:
    """A criterion that loads another's state continues with its clocks."""
    tasks = "{a: {kind: regression, decay: 0.5}}"
    first, second = criterion_of(tasks), criterion_of(tasks)
    totals(first, 3)
    second.load_state_dict(first.state_dict())
    assert totals(second, 1) == pytest.approx([0.125])


@pytest.mark.parametrize(
    ("kind", "column", "outputs"),
    [
        ("kind: binary", torch.tensor([1.0, float("nan"), 0.0, -1.0]), torch.tensor([0.3, 9.0, -0.2, 9.0])),
        ("kind: binary", torch.tensor([1, -1, 0, -1]), torch.tensor([0.3, 9.0, -0.2, 9.0])),
        ("kind: multiclass, classes: 3", torch.tensor([2, -1, 0, -1]), torch.arange(12.0).view(4, 3)),
        ("kind: regression", torch.tensor([-1.0, float("nan"), 4.0, float("nan")]), torch.tensor([0.5, 9, 3, 9])),
    ],
    ids=["binary", "integers", "multiclass", "regression"],
)
def test_missing_labels_may_be_masked(kind: str, column: Tensor, outputs: Tensor) -> None:
    """With `missing_labels: mask`, loss, gradient and checks use only the rows that have a label."""
    masked, plain = criterion_of(f"{{a: {{{kind}, missing_labels: mask}}}}"), criterion_of(f"{{a: {{{kind}}}}}")
    logits, known = outputs.clone().requires_grad_(), torch.tensor([0, 2])
    loss, _ = masked({"a": logits}, {"a": column})
    own = outputs[known].clone().requires_grad_()
    expected, _ = plain({"a": own}, {"a": column[known]})
    loss.backward()
    expected.backward()
    assert loss.item() == expected.item()
    assert logits.grad is not None
    assert own.grad is not None
    assert logits.grad[known].equal(own.grad)
    assert not logits.grad[[1, 3]].any()
    with pytest.raises(ValueError, match="column `a`"):
        plain({"a": outputs}, {"a": column})


def test_a_mask_hides_missing_labels_alone() -> None:
    """A label out of range is an error even beside masked ones; a batch without labels has a loss of 0."""
    criterion = criterion_of("{a: {kind: binary, missing_labels: mask, when: on, weight_column: v}}")
    batch = {"a": labels(-1, 2), "on": labels(1, 1), "v": labels(1, 1)}
    with pytest.raises(ValueError, match=r"2.0 in row 1 of column `a` is outside 0..1"):
        criterion({"a": torch.zeros(2)}, batch)
    loss, _ = criterion({"a": torch.zeros(2)}, batch | {"a": labels(-1, float("nan"))})
    assert loss.item() == 0


def test_a_missing_label_column_is_named() -> None:
    """The error names the task, the column and the columns of the batch."""
    criterion = criterion_of("{a: {kind: binary, label: click}}")
    with pytest.raises(KeyError, match=r"task `a` needs the label column `click`, but the batch has `x`, `buy`"):
        criterion({"a": leaf(0.0)}, {"x": labels(0), "buy": labels(0)})


def test_a_missing_output_is_named() -> None:
    """The error names the task and the outputs that exist."""
    with pytest.raises(KeyError, match="task `a` needs the model's output `a`, but the outputs are `b`"):
        criterion_of("{a: {kind: binary}}")({"b": leaf(0.0)}, {"a": labels(0)})


@pytest.mark.parametrize(
    ("task", "column", "message"),
    [
        ("{kind: binary}", torch.tensor([[0.0], [1.0]]), r"column `a` has shape \[2, 1\], not \[2\]"),
        (
            "{kind: multiclass, classes: 3}",
            torch.tensor([[0], [1]]),
            r"column `a` has shape \[2, 1\], not \[2\]",
        ),
        ("{kind: binary}", torch.tensor([0.0, 2.0]), r"2.0 in row 1 of column `a` is outside 0..1"),
        ("{kind: binary}", torch.tensor([float("nan"), 1.0]), r"nan in row 0 of column `a` is outside 0..1"),
        ("{kind: regression}", torch.tensor([0.0, float("inf")]), r"inf in row 1 of column `a` is not a finite number"),
        ("{kind: multiclass, classes: 3}", torch.tensor([0, 3]), r"3 in row 1 of column `a` is outside 0..2"),
        (
            "{kind: multiclass, classes: 3}",
            torch.tensor([0.0, 1.0]),
            r"column `a` has type torch.float32, but class indices are integers",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(task: str, column: Tensor, message: str) -> None:
    """For a wrong shape, type or range, the error names the task, the column and the first bad row."""
    width = (2, 3) if "multiclass" in task else (2,)
    with pytest.raises(ValueError, match="task `a`: " + message):
        criterion_of(f"{{a: {task}}}")({"a": torch.zeros(width)}, {"a": column})


def test_negative_row_weights_are_refused() -> None:
    """A negative weight, which would turn a loss into a reward, is refused."""
    criterion = criterion_of("{a: {kind: binary, weight_column: v}}")
    with pytest.raises(ValueError, match=r"task `a`: -1.0 in row 1 of column `v` is not a finite number of at least 0"):
        criterion({"a": torch.zeros(2)}, {"a": torch.zeros(2), "v": torch.tensor([1.0, -1.0])})


@archspec.loss("difference_to")
class DifferenceTo(archspec.LossKind):
    """A loss for the test: (own output - another's)^2 in rows selected by a column."""

    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    other: str
    column: str

    def joint(
        self, logits: Tensor, labels: Tensor, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]
    ) -> Tensor:
        """All `[B]`."""
        return (logits - outputs[self.other]).square() * batch[self.column]


def test_a_joint_loss_sees_all_outputs_and_columns() -> None:
    """A loss kind with `joint` combines outputs; only the labels that it requests are checked."""
    text = SPEC.format(
        tasks="{a: {kind: regression, loss: {kind: difference_to, other: b, column: on}}, b: {kind: regression}}"
    )
    criterion = MultiTaskLoss(archspec.load(text, plugins=[DifferenceTo]))
    batch = {"a": labels(float("nan"), 0), "b": labels(1, 4), "on": labels(1, 0)}
    _, parts = criterion({"a": leaf(3.0, 9.0), "b": leaf(1.0, 4.0)}, batch)
    assert (parts["a"].item(), parts["b"].item()) == (2.0, 0.0)


@pytest.mark.parametrize("left_out", ["column", "output"])
def test_what_a_joint_loss_lacks_is_named(left_out: str) -> None:
    """The error for a missing column or output names the loss, its task and what exists."""
    text = SPEC.format(
        tasks="{a: {kind: regression, loss: {kind: difference_to, other: c, column: on}}, b: {kind: regression}}"
    )
    criterion = MultiTaskLoss(archspec.load(text, plugins=[DifferenceTo]))
    batch = {"a": labels(0), "b": labels(1)} | ({"on": labels(1)} if left_out == "output" else {})
    outputs = {"a": leaf(3.0), "b": leaf(1.0)} | ({"c": leaf(1.0)} if left_out == "column" else {})
    name = {"column": "on", "output": "c"}[left_out]
    with pytest.raises(KeyError) as caught:
        criterion(outputs, batch)
    held, gave = (", ".join(f"`{name}`" for name in columns) for columns in (batch, outputs))
    assert str(caught.value.args[0]) == (
        f"the loss `difference_to` of task `a` needs `{name}`; the batch has {held}, and the model's outputs are {gave}"
    )


def test_half_precision_logits_are_summed_in_single() -> None:
    """bfloat16 logits give a float32 loss."""
    total, _ = criterion_of("{a: {kind: binary}}")({"a": torch.zeros(3, dtype=torch.bfloat16)}, {"a": torch.ones(3)})
    assert (total.dtype, total.item()) == (torch.float32, pytest.approx(log(2)))
