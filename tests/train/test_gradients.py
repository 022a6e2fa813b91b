"""Balances that read gradients, compared with hand-computed cases, and the weights whose gradients they read."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import archspec
from archspec.graph.load import graph_of
from archspec.train.criterion import MultiTaskLoss
from archspec.train.weights import last_shared, shared, weight_locations
from tests.train.test_balance import BOTTOM, criterion_of


def bottom_model(balance: str, *, optimize: bool = True) -> tuple[nn.Module, MultiTaskLoss]:
    """A Shared-Bottom model in float64 with its criterion."""
    spec = archspec.load(BOTTOM.format(balance=balance))
    model = archspec.compile(spec, optimize=optimize, seed=3).double()
    return model, MultiTaskLoss(spec, model=model).double()


BATCH = {
    "x": torch.tensor([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.7]], dtype=torch.float64),
    "a": torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64),
    "b": torch.tensor([-1.0, 1.5, 0.2], dtype=torch.float64),
    "has_a": torch.tensor([1, 1, 0]),
}


def task_gradients(model: nn.Module, name: str) -> Tensor:
    """Gradients `[T, N]` of both weighted losses on one canonical weight, by plain autograd on the plain model."""
    logits = model(BATCH)
    losses = ((logits["a"] - BATCH["a"])[:2].square().mean(), 2 * (logits["b"] - BATCH["b"]).square().mean())
    weight = model.get_parameter(attribute(model, name))
    rows = [
        torch.autograd.grad(loss, weight, retain_graph=True, allow_unused=True, materialize_grads=True)[0]
        for loss in losses
    ]
    return torch.stack(rows).flatten(1)


def attribute(model: nn.Module, name: str, text: str = BOTTOM.format(balance="sum")) -> str:
    """The parameter of a plain model that contains a canonical weight."""
    graph = graph_of(archspec.load(text))
    return next(location.parameter for location in weight_locations(model, graph) if location.weight == name)


@pytest.mark.parametrize("optimize", [True, False])
def test_gradnorm_moves_weights_towards_equal_training_rates(optimize: bool) -> None:  # noqa: FBT001 - a test's parameter
    """A step moves v to v - rate * sign(G - target) * |g|, rescaled to sum to K; the first targets are all mean(G)."""
    model, criterion = bottom_model("{kind: gradnorm, alpha: 1.5, rate: 0.1}", optimize=optimize)
    plain, _ = bottom_model("sum", optimize=False)
    norms = task_gradients(plain, "level1.experts.bottom.0.layers.0.weight").norm(dim=1)
    total, parts = criterion(model(BATCH), BATCH)
    assert total.item() == pytest.approx(parts["a"].item() + 2 * parts["b"].item())
    moved = torch.ones(2, dtype=torch.float64) - 0.1 * torch.sign(norms - norms.mean()) * norms
    expected = 2 * moved.clamp_min(1e-3) / moved.clamp_min(1e-3).sum()
    found = criterion.balance.weights
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    total.backward()
    total, parts = criterion(model(BATCH), BATCH)
    assert total.item() == pytest.approx((expected * torch.stack([parts["a"], 2 * parts["b"]])).sum().item())


def test_gradnorm_keeps_every_weight_above_zero() -> None:
    """A weight that would become 0 or less is set to 0.001; then the weights are rescaled to sum to K."""
    balance: Any = bottom_model("{kind: gradnorm, rate: 1.0}")[1].balance
    ones = torch.ones(2, dtype=torch.float64)
    jacobian = torch.tensor([[3.0, 4.0], [0.0, 1.0]], dtype=torch.float64)  # norms 5 and 1: 1 - 5 is below 0, 1 + 1 not
    for _ in range(2):
        before = balance.weights
        balance.step(ones, ones.bool(), jacobian)
        moved = torch.stack([ones[0] * 1e-3, before[1] + 1])
        torch.testing.assert_close(balance.weights, 2 * moved / moved.sum(), rtol=1e-12, atol=0)
        balance.weights = ones


@pytest.mark.parametrize("optimize", [True, False])
def test_the_last_shared_weights_are_those_of_experts(optimize: bool) -> None:  # noqa: FBT001 - a test's parameter
    """Although all tasks share a gate, a norm and a modulation, the last matrices of the experts are used."""
    text = """
archspec: 1
name: moe
inputs: {x: {kind: dense, dim: 2}}
tasks: {a: {}, b: {}}
levels:
  - experts: {bottom: {count: 2, units: [3, 4], norm: layer, modulate: {selector: x}}}
    gates: {mixed: {sees: all, units: [3]}}
towers: {$task: {from: level1.gates.mixed}}
"""
    graph = graph_of(archspec.load(text))
    found = weight_locations(archspec.compile(text, optimize=optimize), graph)
    names = [location.weight for location in last_shared(found, graph)]
    assert names == [f"level1.experts.bottom.{i}.layers.1.weight" for i in range(2)]


def test_gradnorm_leaves_a_task_without_rows_alone() -> None:
    """A batch without rows of a task does not set its first loss, and nothing becomes NaN."""
    model, criterion = bottom_model("gradnorm")
    criterion(model(BATCH), {**BATCH, "has_a": torch.zeros(3)})[0].backward()
    assert criterion.balance.first[0].item() == 0  # type: ignore[index] # a buffer
    criterion(model(BATCH), BATCH)[0].backward()
    assert bool(criterion.balance.weights.isfinite().all())  # type: ignore[operator] # a buffer


def test_gradnorm_keeps_the_weight_of_a_task_that_waits() -> None:
    """A batch without rows of task a leaves a's weight unchanged."""
    model, criterion = bottom_model("{kind: gradnorm, rate: 0.1}")
    weights: Any = criterion.balance
    criterion(model(BATCH), BATCH)
    before = weights.weights.clone()
    assert before[0] != 1
    criterion(model(BATCH), {**BATCH, "has_a": torch.zeros(3)})
    assert torch.equal(weights.weights, before)  # task b alone also keeps its weight


def test_the_graph_knows_the_last_shared_weights() -> None:
    """In PLE these are the last layers of the shared experts in the last level, not gates, towers or lower levels."""
    spec = archspec.load("specs/ple.yaml")
    graph = graph_of(spec)
    names = [location.weight for location in last_shared(weight_locations(archspec.compile(spec), graph), graph)]
    assert names == [f"level2.experts.shared.{i}.layers.1.weight" for i in range(3)]


def test_the_graph_knows_all_shared_weights() -> None:
    """The tables and the experts of a shared bottom are shared, the towers are not."""
    spec = archspec.load(BOTTOM.format(balance="sum"))
    graph = graph_of(spec)
    names = {location.weight for location in shared(weight_locations(archspec.compile(spec), graph), graph)}
    assert names == {"level1.experts.bottom.0.layers.0.weight", "level1.experts.bottom.0.layers.0.bias"}


def pcgrad(first: Tensor, second: Tensor) -> Tensor:
    """PCGrad of two gradients: if they conflict, each loses its component along the other."""
    product = first @ second
    if product >= 0:
        return first + second
    return first - product / (second @ second) * second + second - product / (first @ first) * first


def shortest(first: Tensor, second: Tensor) -> Tensor:
    """MGDA of two gradients: the shortest vector between them."""
    share = ((second - first) @ second / (first - second).square().sum()).clamp(0, 1)
    return share * first + (1 - share) * second


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize(
    ("balance", "aggregate", "tolerance"),
    [("pcgrad", pcgrad, 1e-9), ("{kind: mgda, epsilon: 1.0e-9, max_iters: 1000}", shortest, 1e-4)],
)
def test_aggregation_replaces_the_gradient_of_shared_weights_only(
    balance: str,
    aggregate: object,
    tolerance: float,
    optimize: bool,  # noqa: FBT001 - a test's parameter
) -> None:
    """Shared weights get the aggregate of the tasks' gradients, towers their own gradient; the loss is the sum."""
    pytest.importorskip("torchjd", reason="the extra `train` installs it")
    model, criterion = bottom_model(balance, optimize=optimize)
    plain, _ = bottom_model("sum", optimize=False)
    total, parts = criterion(model(BATCH), BATCH)
    total.backward()
    assert total.item() == pytest.approx(parts["a"].item() + 2 * parts["b"].item())
    bottom = [f"level1.experts.bottom.0.layers.0.{kind}" for kind in ("weight", "bias")]
    jacobian = torch.cat([task_gradients(plain, name) for name in bottom], dim=1)
    found = torch.cat([gradient_of(model, name).flatten() for name in bottom])
    torch.testing.assert_close(found, aggregate(*jacobian), rtol=tolerance, atol=tolerance)  # type: ignore[operator] # a function
    for tower in ("a", "b"):
        expected = task_gradients(plain, f"towers.{tower}.head.weight").sum(0)
        torch.testing.assert_close(gradient_of(model, f"towers.{tower}.head.weight").flatten(), expected)


@pytest.mark.parametrize("balance", ["upgrad", "mgda", "imtl_g", "aligned_mtl"])
def test_gradients_are_combined_in_single_precision_under_autocast(balance: str) -> None:
    """The same gradients give the same combination with bfloat16 autocast as without, up to float32 rounding."""
    pytest.importorskip("torchjd", reason="the extra `train` installs it")
    model, _ = bottom_model(balance)
    model.float()
    criterion = MultiTaskLoss(model)
    batch = {name: column.float() if column.is_floating_point() else column for name, column in BATCH.items()}
    found = []
    for half in (False, True):
        model.zero_grad()
        logits = model(batch)  # outside autocast: only the work of the criterion may differ
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            total, _ = criterion(logits, batch)
        total.backward()
        found.append(gradient_of(model, "level1.experts.bottom.0.layers.0.weight").clone())
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("balance", ["upgrad", "mgda", "pcgrad", "imtl_g", "aligned_mtl"])
def test_a_task_without_rows_takes_no_part_in_aggregation(balance: str) -> None:
    """If only task b has rows, shared weights get its whole gradient, not the zero that MGDA would return."""
    pytest.importorskip("torchjd", reason="the extra `train` installs it")
    model, criterion = bottom_model(balance)
    plain, _ = bottom_model("sum", optimize=False)
    criterion(model(BATCH), {**BATCH, "has_a": torch.zeros(3)})[0].backward()
    name = "level1.experts.bottom.0.layers.0.weight"
    torch.testing.assert_close(gradient_of(model, name).flatten(), task_gradients(plain, name)[1])
    model.zero_grad()
    criterion(model(BATCH), {**BATCH, "has_a": torch.zeros(3), "b": model(BATCH)["b"].detach()})[0].backward()
    assert not gradient_of(model, name).any()


@pytest.mark.parametrize("balance", ["mgda", "upgrad", "imtl_g"])
def test_a_task_that_shares_nothing_takes_no_part_in_aggregation(balance: str) -> None:
    """A third task with its own weights does not change the gradient of the weights that two tasks share."""
    pytest.importorskip("torchjd", reason="the extra `train` installs it")
    both = BOTTOM.format(balance=balance)
    apart = "towers: {a: {from: level1.experts.bottom}, b: {from: level1.experts.bottom}, c: {from: x}}\n"
    three = both.partition("towers:")[0].replace("levels:", "  c: {kind: regression, label: a}\nlevels:")
    three += apart + f"balance: {balance}\n"
    found: list[Tensor] = []
    weights: dict[str, Tensor] = {}
    for text in (both, three):
        model = archspec.compile(text, optimize=False, seed=3).double()
        weights = weights or {name: value.detach().clone() for name, value in model.named_weights()}
        model.load_weights({name: weights.get(name, value) for name, value in model.named_weights()})
        MultiTaskLoss(model).double()(model(BATCH), BATCH)[0].backward()
        gradient = model.get_parameter(attribute(model, "level1.experts.bottom.0.layers.0.weight", text)).grad
        assert gradient is not None
        found.append(gradient)
    assert found[0].any()
    torch.testing.assert_close(*found)


def gradient_of(model: nn.Module, name: str) -> Tensor:
    """The gradient of a canonical weight, wherever and however it is stored."""
    graph = graph_of(archspec.load(BOTTOM.format(balance="sum")))
    location = next(location for location in weight_locations(model, graph) if location.weight == name)
    gradient = model.get_parameter(location.parameter).grad
    assert gradient is not None
    part = gradient[location.index]
    return part.mT if location.parameter in sys.modules[type(model).__module__].TRANSPOSED else part


def test_aggregated_gradients_accumulate_and_scale() -> None:
    """Two backward passes of half the loss equal one of the whole: accumulation and loss scaling work."""
    pytest.importorskip("torchjd", reason="the extra `train` installs it")
    model, criterion = bottom_model("upgrad")
    criterion(model(BATCH), BATCH)[0].backward()
    once = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    for _ in range(2):
        (criterion(model(BATCH), BATCH)[0] / 2).backward()
    for parameter, gradient in zip(model.parameters(), once, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("balance", ["gradnorm", "{kind: gradnorm, rate: 0.5}"])
def test_a_balance_that_reads_gradients_asks_for_the_model(balance: str) -> None:
    """If the model is missing, the error says how to pass it."""
    with pytest.raises(ValueError, match=r"balance `gradnorm` reads the gradients.*MultiTaskLoss\(spec, model=model\)"):
        criterion_of(balance)


def test_tasks_that_share_nothing_cannot_be_balanced_by_gradients() -> None:
    """Two towers on the raw input have no weight in common, which is an error of the spec."""
    text = BOTTOM.format(balance="gradnorm").replace("level1.experts.bottom", "inputs")
    with pytest.raises(archspec.SpecError, match="these tasks share none"):
        archspec.load(text)
