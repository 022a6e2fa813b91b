"""`numeric` inputs: linear, AutoDis, buckets and periodic embeddings of numbers, against their formulas."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import archspec
from archspec.compiler.compile import build
from archspec.compiler.count import count
from archspec.graph.load import graph_of
from archspec.testing import check_kind
from tests.compiler.models import (
    BOTH,
    ONE_TASK,
    assert_agree,
    batch_of,
    followed,
    gradients,
    model_of,
    total,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Weights = dict[str, Tensor]


def linear(x: Tensor, w: Weights) -> Tensor:
    """x w + b."""
    return x * w["linear.weight"].T + w["linear.bias"]


def autodis(x: Tensor, w: Weights) -> Tensor:
    """M softmax((W h + 0.3 h) / 0.5), h = leaky_relu(w x), summed meta-embedding by meta-embedding."""
    h = functional.leaky_relu(x * w["project.weight"].T, 0.01)
    logits = (h @ w["mix.weight"].T + 0.3 * h) / 0.5
    shares = logits.exp() / logits.exp().sum(1, keepdim=True)
    metas = w["metas.weight"].T
    result: Tensor = sum((shares[:, i : i + 1] * meta for i, meta in enumerate(metas)), torch.zeros(1, 3))
    return result


def buckets(x: Tensor, w: Weights) -> Tensor:
    """The table's row of the half-open interval [low, high) that x is in."""
    rows = [sum(value >= limit for limit in (-1, 0, 0.5)) for value in x.flatten().tolist()]
    return w["weight"][rows]


def periodic(x: Tensor, w: Weights) -> Tensor:
    """relu(W [cos(2 pi c x), sin(2 pi c x)] + b)."""
    phase = 2 * math.pi * w["frequencies"].T * x
    waves = torch.cat([phase.cos(), phase.sin()], dim=1)
    return torch.relu(waves @ w["linear.weight"].T + w["linear.bias"])


EMBEDDINGS: dict[str, tuple[str, Callable[[Tensor, Weights], Tensor]]] = {
    "linear": ("embedding: linear", linear),
    "autodis": ("embedding: autodis, metas: 5, skip: 0.3, temperature: 0.5", autodis),
    "buckets": ("embedding: buckets, boundaries: [-1, 0, 0.5]", buckets),
    "periodic": ("embedding: periodic, frequencies: 4, sigma: 0.5", periodic),
}
NAMES = pytest.mark.parametrize("name", EMBEDDINGS)


def text_of(settings: str, count: int = 3) -> str:
    """A spec whose tower reads some inputs of these settings."""
    inputs = ", ".join(f"n{i}: {{kind: numeric, dim: 3, {settings}}}" for i in range(count))
    return f"{ONE_TASK}inputs: {{{inputs}}}\ntowers: {{y: {{}}}}\n"


@BOTH
@NAMES
def test_embeddings_are_their_formulas(*, name: str, optimize: bool) -> None:
    """For three inputs side by side, outputs and gradients (weights and numbers) match the formulas, counts torch's."""
    settings, formula = EMBEDDINGS[name]
    text = text_of(settings)
    model, batch = model_of(text, optimize=optimize), followed(batch_of(text, 7))
    weights = {key: view.clone().requires_grad_() for key, view in model.named_weights()}
    parts = []
    inputs = {key: value.detach().clone().requires_grad_() for key, value in batch.items()}
    for key in ("n0", "n1", "n2"):
        own = {n.removeprefix(f"inputs.{key}."): w for n, w in weights.items() if n.startswith(f"inputs.{key}.")}
        parts.append(formula(inputs[key].unsqueeze(1), own))
    logit = functional.linear(torch.cat(parts, 1), weights["towers.y.head.weight"], weights["towers.y.head.bias"])
    outputs, right = model(batch), {"y": logit.squeeze(1)}
    tolerance = 1e-10 if optimize else 1e-12
    assert_agree(outputs, right, tolerance)
    found = gradients(model, total(outputs))
    torch.autograd.backward(total(right))
    assert_agree(found, {key: w.grad for key, w in weights.items() if w.grad is not None}, tolerance)
    for key, value in inputs.items():
        torch.testing.assert_close(batch[key].grad, value.grad, rtol=tolerance, atol=tolerance)
    assert sum(p.numel() for p in model.parameters()) == count(graph_of(archspec.load(text))).total.parameters


@NAMES
def test_the_contract_holds(name: str) -> None:
    """Empty batches, `torch.compile` in one graph, and numerical gradients work."""
    settings = archspec.load(text_of(EMBEDDINGS[name][0], 1)).data()["inputs"]["n0"]
    check_kind("numeric", settings={key: value for key, value in settings.items() if key != "kind"})


@NAMES
def test_several_stand_side_by_side(name: str) -> None:
    """The layers of three inputs are one stack of products; buckets are one lookup."""
    program = build(graph_of(archspec.load(text_of(EMBEDDINGS[name][0])))).lowered.forward
    own = [op for op in program.ops if op.weights and not op.node.startswith("towers")]
    assert {op.output.shape[0] for op in own} == ({"B"} if name == "buckets" else {3})
    assert len(own) == {"linear": 1, "autodis": 3, "buckets": 1, "periodic": 2}[name]


def test_boundaries_belong_to_the_bucket_above() -> None:
    """Intervals are half-open; infinities fall into the outer buckets and NaN into the last: every number has a row."""
    text = text_of("embedding: buckets, boundaries: [0, 10]", 1)
    model = model_of(text, optimize=True)
    table = dict(model.named_weights())["inputs.n0.weight"]
    head = dict(model.named_weights())["towers.y.head.weight"].squeeze(0)
    numbers = torch.tensor([-math.inf, -1e-9, 0, 9.999, 10, math.inf, math.nan], dtype=torch.float64)
    bias = dict(model.named_weights())["towers.y.head.bias"]
    expected = table[[0, 0, 1, 1, 2, 2, 2]] @ head + bias
    torch.testing.assert_close(model({"n0": numbers})["y"], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "said", "repaired"),
    [
        ("embedding: buckets", "needs `boundaries`", "embedding: buckets, boundaries: [0, 10, 100]"),
        ("embedding: buckets, boundaries: []", "needs `boundaries`", "embedding: buckets, boundaries: [0, 10, 100]"),
        ("boundaries: [1, 2]", "belong to `embedding: buckets`", "embedding: buckets, boundaries: [1, 2]"),
        ("embedding: buckets, boundaries: [1, 3, 2]", "must ascend: 2 follows 3",
         "embedding: buckets, boundaries: [1, 2, 3]"),
        ("embedding: buckets, boundaries: [1, 1]", "must ascend: 1 follows 1", "embedding: buckets, boundaries: [1]"),
        ("embedding: buckets, boundaries: [1, .nan]", "finite number", "embedding: buckets, boundaries: [1]"),
        ("embedding: autodis, temperature: 0", "temperature", "embedding: autodis, temperature: 0.1"),
        ("embedding: fourier", "embedding", "embedding: periodic"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong: str, said: str, repaired: str) -> None:
    """Each wrong setting raises one diagnostic, and following its help makes the spec valid."""
    with pytest.raises(archspec.SpecError, match=said) as raised:
        archspec.load(text_of(wrong, 1))
    assert len(raised.value.diagnostics) == 1
    assert archspec.load(text_of(repaired, 1)).tasks


def test_settings_of_another_embedding_are_idle() -> None:
    """`sigma` beside `autodis` has no effect, and AS235 reports it."""
    found = archspec.load(text_of("embedding: autodis, sigma: 0.5", 1)).diagnostics
    assert [item.code for item in found] == ["AS235"]
