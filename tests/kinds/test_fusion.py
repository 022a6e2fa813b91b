"""Fusions: products of probabilities in log space, sums, ranking scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.compiler.models import BOTH, HEAD, assert_agree, batch_of, model_of

INPUTS = "inputs: {x: {kind: dense, dim: 3}, size: {kind: dense, dim: 1}}\n"


def model_text(tasks: str, fusion: str) -> str:
    """A spec with the towers p and q (probabilities), v (a value) and a fusion."""
    towers = "towers: {p: {from: x}, q: {from: x}, v: {from: x, output: regression}}\n"
    return HEAD + INPUTS + f"tasks: {{{tasks}}}\n{towers}fusion: {{{fusion}}}\n"


def parts(
    fusion: str, tasks: str = "p: {kind: binary}", *, optimize: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Logits, scores and the batch, whose `size` is positive."""
    text = model_text(tasks, fusion)
    model, batch = model_of(text, optimize=optimize), batch_of(text, 6)
    batch["size"] = batch["size"].abs() + 0.1
    logits = {name: value.detach() for name, value in model(batch).items()}
    return logits, model.predict(batch), batch


@BOTH
def test_the_logit_of_a_product_is_that_of_the_product_of_probabilities(*, optimize: bool) -> None:
    """ESMM: a task that is a product has the logit of p q, and `predict` gives p q."""
    logits, scores, _ = parts("y: {kind: product, of: [p, q]}", "y: {kind: binary}", optimize=optimize)
    product = logits["p"].sigmoid() * logits["q"].sigmoid()
    torch.testing.assert_close(logits["y"], torch.logit(product), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(scores["y"], product, rtol=1e-12, atol=1e-12)


@BOTH
@pytest.mark.parametrize("kind", ["product, of: [p, q]", "weighted_product, of: {p: 1, q: 0.5}"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_products_are_finite_at_any_logits(*, kind: str, dtype: torch.dtype, optimize: bool) -> None:
    """With both logits at -80, 0 and 80, logits and gradients are finite, and never vanish where the label is 1."""
    text = model_text("y: {kind: binary}", f"y: {{kind: {kind}}}")
    model = model_of(text, optimize=optimize, dtype=dtype)
    for name, view in model.named_weights():
        if name.startswith("towers."):
            view.zero_()
            view.reshape(-1)[0] = 1 if name.startswith("towers.p") and name.endswith("weight") else 0
            if name.startswith("towers.q") and name.endswith("weight"):
                view[0, 1] = 1
                view[0, 0] = 0
    ends = torch.tensor([-80.0, 0.0, 80.0], dtype=dtype)
    x = torch.cat([torch.cartesian_prod(ends, ends), torch.zeros(9, 1, dtype=dtype)], dim=1).requires_grad_()
    logits = model({"x": x, "size": torch.ones(9, 1, dtype=dtype)})["y"]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits), reduction="sum")
    torch.autograd.backward(loss)
    assert logits.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad[:3, 0] < -0.4).all()  # p is far too small: the loss still pulls it up


@BOTH
def test_sums_and_weighted_sums(*, optimize: bool) -> None:
    """Probabilities and values add up, each with its weight."""
    logits, scores, _ = parts(
        "s: {kind: sum, of: [p, v]}, w: {kind: weighted_sum, of: {p: 2, v: -0.5}}", optimize=optimize
    )
    p, v = logits["p"].sigmoid(), logits["v"]
    assert_agree({name: scores[name] for name in "sw"}, {"s": p + v, "w": 2 * p - 0.5 * v}, 1e-12)
    assert set(logits) == {"p", "q", "v"}


@BOTH
@pytest.mark.parametrize(
    ("fn", "function"), [("log1p", torch.log1p), ("sqrt", torch.sqrt), ("exp", torch.exp), ("identity", torch.clone)]
)
def test_a_ranking_score_takes_a_factor_from_the_batch(*, fn: str, function: object, optimize: bool) -> None:
    """prod_k p_k^(w_k) * f(size)."""
    assert callable(function)
    times = f"times: {{input: size, fn: {fn}}}"
    logits, scores, batch = parts(f"s: {{kind: weighted_product, of: {{p: 1.0, q: 0.7}}, {times}}}", optimize=optimize)
    wanted = logits["p"].sigmoid() * logits["q"].sigmoid() ** 0.7 * function(batch["size"].squeeze(1))
    torch.testing.assert_close(scores["s"], wanted, rtol=1e-12, atol=1e-12)


@BOTH
def test_the_logit_of_a_weighted_product(*, optimize: bool) -> None:
    """A task that is a weighted product trains the logit of the score."""
    logits, scores, _ = parts("y: {kind: weighted_product, of: {p: 0.5, q: 2}}", "y: {kind: binary}", optimize=optimize)
    product = logits["p"].sigmoid() ** 0.5 * logits["q"].sigmoid() ** 2
    torch.testing.assert_close(logits["y"], torch.logit(product), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(scores["y"], product, rtol=1e-10, atol=1e-10)


@BOTH
def test_a_factor_counts_in_the_logit_too(*, optimize: bool) -> None:
    """`times` on a task's product is no silent no-op: the logit is that of p q f(size), kept below one."""
    fusion = "y: {kind: product, of: [p, q], times: {input: size, fn: identity}}"
    logits, _, batch = parts(fusion, "y: {kind: binary}", optimize=optimize)
    product = logits["p"].sigmoid() * logits["q"].sigmoid() * batch["size"].squeeze(1)
    assert (product < 1).all()
    torch.testing.assert_close(logits["y"], torch.logit(product), rtol=1e-10, atol=1e-10)


@BOTH
def test_a_value_is_no_logit(*, optimize: bool) -> None:
    """A product with a regression output multiplies by its value, also where the product is a binary task."""
    text = model_text("y: {kind: binary}", "y: {kind: product, of: [p, v]}")
    model, batch = model_of(text, optimize=optimize), batch_of(text, 6)
    for name, view in model.named_weights():
        if name == "towers.v.head.weight":
            view.zero_()
        if name == "towers.v.head.bias":
            view.fill_(0.25)
    logits = model(batch)
    torch.testing.assert_close(logits["y"].sigmoid(), logits["p"].sigmoid() * 0.25, rtol=1e-10, atol=1e-10)


@BOTH
def test_a_task_may_combine_a_score(*, optimize: bool) -> None:
    """A fusion that is a task reads one that is none; `predict` gives both."""
    fusion = "s: {kind: weighted_sum, of: {p: 0.5, q: 0.25}}, y: {kind: product, of: [s, p]}"
    logits, scores, _ = parts(fusion, "y: {kind: binary}", optimize=optimize)
    p, q = logits["p"].sigmoid(), logits["q"].sigmoid()
    torch.testing.assert_close(logits["y"].sigmoid(), (0.5 * p + 0.25 * q) * p, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(scores["s"], 0.5 * p + 0.25 * q, rtol=1e-12, atol=1e-12)
