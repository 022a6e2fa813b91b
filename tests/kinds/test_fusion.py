"""Fusions: products of probabilities in log space, sums, ranking scores."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import archspec
from archspec.nn.functional import mixture_logit
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
def test_a_mixture_lies_between_two_probabilities(*, optimize: bool) -> None:
    """ESM2: y = p q + (1 - p) r, as a score and as a task; its logit is that of the mixture."""
    fusion, tasks = "y: {kind: mixture, of: [p, q, p]}, s: {kind: mixture, of: [p, q, v]}", "y: {kind: binary}"
    logits, scores, _ = parts(fusion, tasks, optimize=optimize)
    p, q, v = logits["p"].sigmoid(), logits["q"].sigmoid(), logits["v"]
    assert_agree(scores, scores | {"y": p * q + (1 - p) * p, "s": p * q + (1 - p) * v}, 1e-12)
    torch.testing.assert_close(logits["y"], torch.logit(p * q + (1 - p) * p), rtol=1e-12, atol=1e-12)


@BOTH
def test_a_product_takes_the_logit_of_a_mixture(*, optimize: bool) -> None:
    """A mixture that is not a task enters a product in log space, so no precision is lost near 0 and 1."""
    fusion = "m: {kind: mixture, of: [p, q, q]}, y: {kind: product, of: [q, m]}"
    text = model_text("y: {kind: binary}", fusion)
    model = model_of(text, optimize=optimize)
    for name, view in model.named_weights():
        view.fill_(0.0 if name.endswith("weight") else 90.0)
    logits = model(batch_of(text, 2))
    torch.testing.assert_close(logits["y"], torch.full_like(logits["y"], 90 - torch.log(torch.tensor(2.0)).item()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_logit_of_a_mixture_is_finite_at_any_logits(dtype: torch.dtype) -> None:
    """With each at -80, 0 or 80, logit and gradients are finite, and the logit is right where float64 can check it."""
    ends = torch.cartesian_prod(*[torch.tensor([-80.0, 0.0, 80.0], dtype=dtype)] * 3).requires_grad_()
    logit = mixture_logit(*ends.unbind(1))
    (gradient,) = torch.autograd.grad(logit.sum(), ends)
    assert logit.isfinite().all()
    assert gradient.isfinite().all()
    q, a, b = ends.detach().double().sigmoid().unbind(1)
    p = q * a + (1 - q) * b
    moderate = (p > 1e-9) & (p < 1 - 1e-9)
    torch.testing.assert_close(logit.detach()[moderate].double(), torch.logit(p)[moderate], rtol=1e-5, atol=1e-5)


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
    """`times` affects a task's product: the logit is that of p q f(size), kept below one."""
    fusion = "y: {kind: product, of: [p, q], times: {input: size, fn: identity}}"
    logits, _, batch = parts(fusion, "y: {kind: binary}", optimize=optimize)
    product = logits["p"].sigmoid() * logits["q"].sigmoid() * batch["size"].squeeze(1)
    assert (product < 1).all()
    torch.testing.assert_close(logits["y"], torch.logit(product), rtol=1e-10, atol=1e-10)


@BOTH
@pytest.mark.parametrize("kind", ["product, of: [p, v]", "weighted_product, of: {p: 1, v: 1}"])
def test_a_value_is_no_logit(*, kind: str, optimize: bool) -> None:
    """A product with a regression output multiplies by its value, even if the product is a task."""
    text = model_text("y: {kind: regression}", f"y: {{kind: {kind}}}")
    model, batch = model_of(text, optimize=optimize), batch_of(text, 6)
    for name, view in model.named_weights():
        if name == "towers.v.head.weight":
            view.zero_()
        if name == "towers.v.head.bias":
            view.fill_(0.25)
    logits = model(batch)
    torch.testing.assert_close(logits["y"], logits["p"].sigmoid() * 0.25, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ("y: {kind: product, of: [p, v]}", "combines `v`, which is not a probability"),
        ("y: {kind: product, of: [v]}", "combines `v`, which is not a probability"),
        ("y: {kind: weighted_product, of: {v: 0.5, p: 1}}", "combines `v`, which is not a probability"),
        ("y: {kind: weighted_product, of: {p: 1, q: -0.5}}", "takes `q` to the power -0.5"),
        ("s: {kind: sum, of: [p, q]}, y: {kind: product, of: [s, p]}", "combines `s`, which is not a probability"),
        ("s: {kind: product, of: [p, v]}, y: {kind: product, of: [q, s]}", "combines `s`, which is not a probability"),
        ("s: {kind: weighted_sum, of: {p: 0.7, q: 0.4}}, y: {kind: product, of: [s]}", "combines `s`, which is no"),
        ("s: {kind: weighted_sum, of: {p: 0.7, q: -0.4}}, y: {kind: product, of: [s]}", "combines `s`, which is no"),
    ],
)
def test_a_binary_task_is_a_probability(fusion: str, message: str) -> None:
    """A fusion that may leave 0..1, even if nested, is refused as a binary task; the advised regression is valid."""
    with pytest.raises(archspec.SpecError) as caught:
        archspec.load(model_text("y: {kind: binary}", fusion))
    (found,) = caught.value.diagnostics
    assert (found.code, found.severity) == ("AS215", "error")
    assert message in found.message
    assert "`kind: regression`" in found.help
    archspec.load(model_text("y: {kind: regression}", fusion))


@pytest.mark.parametrize(
    "fusion",
    [
        "y: {kind: weighted_product, of: {p: 3, q: 0}}",
        "s: {kind: weighted_sum, of: {p: 0.7, v: 0.1}}, w: {kind: product, of: [s, v]}, y: {kind: product, of: [p]}",
        "s: {kind: weighted_sum, of: {p: 0.1, a: 0.9}}, a: {kind: product, of: [q]}, y: {kind: product, of: [s]}",
        "s: {kind: sum, of: [p]}, y: {kind: product, of: [s, q], times: {input: size}}",
    ],
)
def test_probabilities_of_probabilities_are_binary_tasks(fusion: str) -> None:
    """Products, non-negative powers and convex combinations remain valid; scores beside the task make no difference."""
    spec = archspec.load(model_text("y: {kind: binary}", fusion))
    assert [item for item in spec.diagnostics if item.severity == "error"] == []
    assert spec.tasks["y"].kind == "binary"


@BOTH
@pytest.mark.parametrize("kind", ["product, of: [p, q]", "sum, of: [p, v]", "weighted_product, of: {p: -1, v: 1}"])
@pytest.mark.parametrize("fn", ["log1p", "sqrt", "exp", "identity"])
@pytest.mark.parametrize("sizes", [[-2.0, -1.0, -0.5], [0.0, 1e30, -1e30], [90.0, 500.0, 3.0]])
def test_no_number_of_a_batch_makes_a_score_of_no_number(
    *, kind: str, fn: str, sizes: list[float], optimize: bool
) -> None:
    """log1p and sqrt use max(x, 0), exp min(x, 80): scores are finite in single precision if x times is finite."""
    text = model_text("p: {kind: binary}", f"s: {{kind: {kind}, times: {{input: size, fn: {fn}}}}}")
    model, batch = model_of(text, optimize=optimize, dtype=torch.float32), batch_of(text, 3)
    batch = {name: value.float() for name, value in batch.items()}
    batch["size"] = torch.tensor(sizes)[:, None]
    scores = model.predict(batch)
    x = batch["size"].squeeze(1)
    factor = {"log1p": x.relu().log1p(), "sqrt": x.relu().sqrt(), "exp": x.clamp_max(80).exp(), "identity": x}[fn]
    assert scores["s"].isfinite().all()
    plain = model_of(text.replace(f", times: {{input: size, fn: {fn}}}", ""), optimize=optimize, dtype=torch.float32)
    torch.testing.assert_close(scores["s"], plain.predict(batch)["s"] * factor, rtol=1e-5, atol=0)


@BOTH
@pytest.mark.parametrize("fn", ["log1p", "sqrt", "exp"])
def test_no_number_of_a_batch_breaks_the_loss(*, fn: str, optimize: bool) -> None:
    """A binary task with a factor has finite logits and gradients, whatever the column contains."""
    text = model_text("y: {kind: binary}", f"y: {{kind: product, of: [p, q], times: {{input: size, fn: {fn}}}}}")
    model, batch = model_of(text, optimize=optimize, dtype=torch.float32), batch_of(text, 4)
    batch = {name: value.float() for name, value in batch.items()}
    batch["size"] = torch.tensor([-2.0, -1.0, 0.0, 1e30])[:, None]
    logits = model(batch)["y"]
    torch.autograd.backward(torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.ones(4)))
    assert logits.isfinite().all()
    gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert len(gradients) >= 2
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


@BOTH
def test_a_task_may_combine_a_score(*, optimize: bool) -> None:
    """A fusion that is a task may read one that is not; `predict` returns both."""
    fusion = "s: {kind: weighted_sum, of: {p: 0.5, q: 0.25}}, y: {kind: product, of: [s, p]}"
    logits, scores, _ = parts(fusion, "y: {kind: binary}", optimize=optimize)
    p, q = logits["p"].sigmoid(), logits["q"].sigmoid()
    torch.testing.assert_close(logits["y"].sigmoid(), (0.5 * p + 0.25 * q) * p, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(scores["s"], 0.5 * p + 0.25 * q, rtol=1e-12, atol=1e-12)
