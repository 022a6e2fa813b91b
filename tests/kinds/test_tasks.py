"""Kinds of tasks: outputs, predictions and labels, compiled and in torch; fusions of their predictions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import archspec
from archspec.diagnostics import SpecError
from archspec.train.rows import predictions

KINDS = {
    "binary": "binary",
    "regression": "regression",
    "multiclass": "multiclass, classes: 3",
    "ordinal": "ordinal, classes: 4",
    "quantile": "quantile, q: 0.9",
    "poisson": "poisson",
    "tweedie": "tweedie, power: 1.2",
    "ziln": "ziln",
    "weighted_logistic": "weighted_logistic",
}


def text_of(task: str, fusion: str = "") -> str:
    """A spec with one task `y`, and a fusion."""
    return (
        "archspec: 1\nname: m\ninputs: {x: {kind: dense, dim: 5}}\n"
        f"tasks: {{y: {{kind: {task}}}, click: {{}}}}\ntowers: {{y: {{from: x, units: [4]}}, click: {{from: x}}}}\n"
        f"fusion: {{{fusion}}}\n"
    )


def by_hand(kind: str, outputs: Tensor) -> Tensor:
    """The prediction from the outputs, as the papers write it."""
    match kind:
        case "binary":
            return 1 / (1 + (-outputs).exp())
        case "multiclass":
            return outputs.exp() / outputs.exp().sum(1, keepdim=True)
        case "ordinal":
            steps = [outputs[:, : k + 1].sigmoid().prod(1) for k in range(outputs.shape[1])]
            return torch.stack(steps).sum(0)
        case "poisson" | "tweedie" | "weighted_logistic":
            return outputs.exp()
        case "ziln":
            spread = (1 + outputs[:, 2].exp()).log()
            return torch.sigmoid(outputs[:, 0]) * torch.exp(outputs[:, 1] + spread**2 / 2)
        case _:
            return outputs


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_the_formula_of_the_outputs(kind: str, *, optimize: bool) -> None:
    """`predict`, `predictions` and the formula of the paper agree, in value and gradient."""
    spec = archspec.load(text_of(KINDS[kind]))
    model = archspec.compile(spec, optimize=optimize, seed=0).double()
    batch = {"x": torch.randn(6, 5, dtype=torch.float64)}
    outputs = model(batch)["y"].detach().requires_grad_()
    expected, found = by_hand(kind, outputs), predictions(spec.tasks["y"].settings, outputs)
    torch.testing.assert_close(model.predict(batch)["y"], expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(value.square().sum(), outputs)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


def test_expected_classes_rise_with_every_logit() -> None:
    """An ordinal prediction is 0 for low logits, classes - 1 for high ones, and never falls when a logit rises."""
    settings = archspec.load(text_of(KINDS["ordinal"])).tasks["y"].settings
    low, high = torch.full((1, 3), -60.0), torch.full((1, 3), 60.0)
    assert predictions(settings, low).item() == pytest.approx(0)
    assert predictions(settings, high).item() == pytest.approx(3)
    outputs = torch.randn(50, 3, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(predictions(settings, outputs).sum(), outputs)
    assert bool((gradient > 0).all())


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("kind", ["poisson", "tweedie", "ziln", "weighted_logistic", "ordinal", "quantile"])
def test_fusions_combine_predictions(kind: str, *, optimize: bool) -> None:
    """A fusion multiplies a probability with the prediction of a value, whatever the outputs behind it are."""
    spec = archspec.load(text_of(KINDS[kind], "score: {kind: product, of: [click, y]}"))
    model = archspec.compile(spec, optimize=optimize, seed=0).double()
    scores = model.predict({"x": torch.randn(6, 5, dtype=torch.float64)})
    torch.testing.assert_close(scores["score"], scores["click"] * scores["y"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimize", [True, False])
def test_a_task_that_is_a_fusion_of_predictions(*, optimize: bool) -> None:
    """A regression that multiplies a probability and an amount outputs the product of the predictions."""
    text = text_of("poisson", "money: {kind: product, of: [click, y]}").replace(
        "click: {}", "click: {}, money: {kind: regression}"
    )
    model = archspec.compile(archspec.load(text), optimize=optimize, seed=0).double()
    batch = {"x": torch.randn(6, 5, dtype=torch.float64)}
    scores = model.predict(batch)
    torch.testing.assert_close(model(batch)["money"], scores["click"] * scores["y"], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(scores["money"], model(batch)["money"], rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["multiclass, classes: 3", "ordinal, classes: 3", "poisson", "ziln"])
def test_only_plain_outputs_can_be_a_fusion(kind: str) -> None:
    """A task whose prediction is a function of its outputs needs a tower: a fusion only provides the prediction."""
    text = text_of("binary", "z: {kind: product, of: [click, y]}").replace(
        "click: {}", f"click: {{}}, z: {{kind: {kind}}}"
    )
    with pytest.raises(SpecError, match="AS215") as caught:
        archspec.load(text)
    assert "give the task a tower" in str(caught.value)


def test_settings_of_tasks_are_checked() -> None:
    """Each missing, wrong or misplaced setting is reported with the name of the task."""
    for task, words in [
        ("multiclass", "`classes`"), ("ordinal, classes: 1", "classes"), ("quantile, q: 1.5", "`q`"),
        ("binary, classes: 3", "multiclass"), ("tweedie, power: 2.5", "power"), ("regresion", "regression"),
    ]:  # fmt: skip
        with pytest.raises(SpecError) as caught:
            archspec.load(text_of(task))
        assert "task `y`" in str(caught.value)
        assert words in str(caught.value)


def test_the_canonical_form_keeps_what_a_task_is() -> None:
    """Expanding writes kind, settings and default loss; the result reads back as the same spec."""
    for task in KINDS.values():
        spec = archspec.load(text_of(task))
        again = archspec.load(spec.text())
        assert (again.text(), again.digest) == (spec.text(), spec.digest)
    assert archspec.load(text_of("quantile, q: 0.9")).data()["tasks"]["y"]["loss"] == {"kind": "pinball", "q": 0.9}
