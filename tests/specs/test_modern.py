"""The modern architectures: each compiled spec equals a handwritten module with the same weights."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

import archspec
from tests.compiler.models import assert_equal
from tests.plain import MODERN
from tests.plain import REFERENCES as CLASSIC
from tests.plain.batches import batch_for
from tests.published import SPECS, plugins_of

if TYPE_CHECKING:
    from tests.plain.blocks import Reference

REFERENCES = {**MODERN, "meituan_search": CLASSIC["meituan_search"]}


def compiled(name: str, *, optimize: bool = True, overrides: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - an emitted class
    """The module of a spec in `specs/`, float64."""
    path = SPECS / f"{name}.yaml"
    spec = archspec.load(path, overrides, plugins_of(path))
    return archspec.compile(spec, optimize=optimize, seed=0).double()


def reference(name: str) -> Reference:
    """The handwritten module of a spec, float64, with random static weights and statistics."""
    torch.manual_seed(1)
    model = REFERENCES[name]().double()
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if re.search(r"\.gates\.\w+\.weight$", key):
                value.normal_()
            if key.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            if key.endswith("running_mean"):
                value.normal_()
    return model


def pair(name: str, *, optimize: bool = True) -> tuple[Any, Reference]:
    """A compiled spec and its reference, with the reference's weights in both."""
    plain, model = reference(name), compiled(name, optimize=optimize)
    model.load_weights(plain.state_dict())
    return model, plain


def gradients(model: Any) -> dict[str, Tensor]:  # noqa: ANN401 - an emitted class
    """Canonical name -> gradient of each weight of a compiled model; zeros if it has none."""
    found = {}
    module = sys.modules[type(model).__module__]
    for name, holder, index, _ in module.WEIGHTS:
        tensor = getattr(model, holder)
        if isinstance(tensor, nn.Parameter):
            gradient = (torch.zeros_like(tensor) if tensor.grad is None else tensor.grad)[index]
            found[name] = gradient.mT if holder in module.TRANSPOSED else gradient
    return found


def plain_gradients(model: nn.Module) -> dict[str, Tensor]:
    """Canonical name -> gradient of each weight of a reference; zeros if it has none."""
    return {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad
        for name, weight in model.named_parameters()
    }


def total(outputs: dict[str, Tensor], auxiliary: dict[str, Tensor]) -> Tensor:
    """A number that depends on every output and auxiliary loss in a different way."""
    parts = [(value * (value + index + 1)).sum() for index, value in enumerate(outputs.values())]
    return sum([*parts, *auxiliary.values()], start=torch.zeros((), dtype=torch.float64))


def auxiliary_of(plain: Reference) -> dict[str, Tensor]:
    """Auxiliary losses of a reference after its forward pass."""
    losses = getattr(plain, "auxiliary_losses", None)
    return losses() if losses else {}


@pytest.fixture(params=REFERENCES)
def name(request: pytest.FixtureRequest) -> str:
    """Name of each modern spec."""
    value: str = request.param
    return value


@pytest.mark.parametrize("optimize", [False, True], ids=["plain", "optimized"])
def test_equals_the_reference(name: str, optimize: bool) -> None:  # noqa: FBT001 - pytest's parameter
    """With the same weights a spec has the outputs, auxiliary losses and gradients of its handwritten module."""
    model, plain = pair(name, optimize=optimize)
    batch = batch_for(plain.INPUTS, 23, 0, torch.float64)
    for training in (False, True):
        made = []
        for either in (model.train(training), plain.train(training)):
            either.zero_grad()
            torch.manual_seed(7)
            made.append(either(batch))
        assert_equal(made[0], made[1])

        auxiliary = auxiliary_of(plain) if training else {}
        own = dict(getattr(model, "auxiliary_losses", {})) if training else {}
        assert_equal(own, auxiliary)
        torch.autograd.backward(total(made[0], own))
        torch.autograd.backward(total(made[1], auxiliary))
        assert_equal(gradients(model), plain_gradients(plain))


@pytest.mark.parametrize("rows", [0, 1])
def test_small_batches(name: str, rows: int) -> None:
    """Batches with one row or none give finite outputs and gradients, also in training."""
    model = compiled(name).train()
    batch = batch_for(REFERENCES[name].INPUTS, rows, 0, torch.float64)
    outputs = model(batch)
    assert all(len(value) == rows for value in outputs.values())
    torch.autograd.backward(total(outputs, getattr(model, "auxiliary_losses", {})))
    assert all(grad.isfinite().all() for grad in gradients(model).values())


@pytest.mark.parametrize("name", ["home", "deepseek_moe", "star", "sarnet", "hamur"])
def test_statistics_follow_the_reference(name: str) -> None:
    """Weights without a gradient (running means, router biases) change in training as in the reference."""
    model, plain = pair(name)
    model.train()
    plain.train()
    before = {key: value.clone() for key, value in plain.named_buffers()}
    for seed in range(3):
        for either in (model, plain):
            torch.manual_seed(seed)
            either(batch_for(plain.INPUTS, 16, seed, torch.float64))
    now = dict(model.named_weights())
    for key, value in plain.named_buffers():
        assert_equal(now[key], value)
        assert not torch.equal(value, before[key])


def test_reach_agrees_with_autograd(name: str) -> None:
    """A weight gets a gradient from a task's output exactly where the graph says that the task reaches it.

    Outputs that only a loss reads are skipped, because the task's own output does not depend on them.
    """
    model, _ = pair(name)
    model.eval()
    path = SPECS / f"{name}.yaml"
    graph = archspec.build_graph(archspec.load(path, None, plugins_of(path)))
    outputs = model(batch_for(REFERENCES[name].INPUTS, 32, 0, torch.float64))
    cases = {key for key in gradients(model) if ".cases." in key}
    categories: dict[str, str] = {node: data["category"] for node, data in graph.nodes(data=True)}
    by_loss = {node for node in graph if {data["role"] for _, _, data in graph.out_edges(node, data=True)} == {"loss"}}
    reached: dict[str, tuple[str, ...]] = {
        node: data["tasks"] for node, data in graph.nodes(data=True) if node not in by_loss
    }
    for task in [node.partition(".")[2] for node, category in categories.items() if category == "task"]:
        model.zero_grad(set_to_none=True)
        torch.autograd.backward(outputs[task].square().sum(), retain_graph=True)
        grads = gradients(model)
        for node, tasks in reached.items():
            own = [grad.any() for key, grad in grads.items() if key.startswith(f"{node}.") and key not in cases]
            if own:
                assert any(own) == (task in tasks), (node, task)
