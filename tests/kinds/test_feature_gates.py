"""Feature gates: factors per field or per element, from a selector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.compiler.models import BOTH, ONE_TASK, assert_agree, batch_of, model_of

if TYPE_CHECKING:
    from collections.abc import Callable

INPUTS = (
    "inputs: {u: {kind: dense, dim: 3}, v: {kind: dense, dim: 2}, z: {kind: dense, dim: 4}}\ngroups: {uv: [u, v]}\n"
)


def check(settings: str, factors: object, *, optimize: bool) -> None:
    """The tower reads the fields u and v times factors `[B, 5]` made from the gate's weights and the batch."""
    assert callable(factors)
    text = ONE_TASK + INPUTS + f"feature_gates: {{f: {{{settings}}}}}\ntowers: {{y: {{from: f}}}}\n"
    model, batch = model_of(text, optimize=optimize), batch_of(text, 6)
    weights = dict(model.named_weights())
    own = {name.removeprefix("feature_gates.f."): view for name, view in weights.items()}
    stream = torch.cat([batch["u"], batch["v"]], dim=1) * factors(own, batch)
    wanted = functional.linear(stream, weights["towers.y.head.weight"], weights["towers.y.head.bias"]).squeeze(-1)
    assert_agree(model(batch), {"y": wanted}, 1e-12)


def fields(weights: Tensor) -> Tensor:
    """One factor per field `[B, 2]` -> one per element `[B, 5]`."""
    return weights.repeat_interleave(torch.tensor([3, 2]), dim=1)


@BOTH
def test_a_factor_per_field(*, optimize: bool) -> None:
    """Meituan: softmax over the fields, times their number."""
    check("from: uv, selector: z, scale: fields",
          lambda w, b: fields(2 * (b["z"] @ w["head.weight"].T).softmax(-1)), optimize=optimize)  # fmt: skip


@BOTH
def test_a_factor_per_element(*, optimize: bool) -> None:
    """EPNet: 2 sigmoid(W s) for each element of the concatenation."""
    check("from: [u, v], selector: z, per: element, kind: sigmoid, scale: 2",
          lambda w, b: 2 * (b["z"] @ w["head.weight"].T).sigmoid(), optimize=optimize)  # fmt: skip


@BOTH
def test_the_default_selector_is_what_is_scaled(*, optimize: bool) -> None:
    """Without `selector` the scaled fields steer the gate; hidden layers have biases, the head only on request."""

    def factors(w: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        x = torch.cat([b["u"], b["v"]], dim=1)
        hidden = torch.relu(functional.linear(x, w["layers.0.weight"], w["layers.0.bias"]))
        return fields(functional.linear(hidden, w["head.weight"], w["head.bias"]).sigmoid())

    check("from: uv, units: [7], bias: true, kind: sigmoid", factors, optimize=optimize)


@BOTH
def test_low_rank_has_no_activation_between(*, optimize: bool) -> None:
    """`rank: 2`: s B A, without a bias."""
    check("from: uv, selector: z, per: element, kind: sigmoid, rank: 2",
          lambda w, b: (b["z"] @ w["down.weight"].T @ w["head.weight"].T).sigmoid(), optimize=optimize)  # fmt: skip


@BOTH
def test_the_network_takes_norm_activation_and_slope(*, optimize: bool) -> None:
    """Hidden layers are linear, norm, activation; the factors are computed from them in the usual way."""

    def factors(w: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        hidden = functional.linear(b["z"], w["layers.0.weight"], w["layers.0.bias"])
        hidden = functional.layer_norm(hidden, (3,), w["norms.0.weight"], w["norms.0.bias"], 1e-3)
        return fields((functional.leaky_relu(hidden, 0.2) @ w["head.weight"].T).sigmoid())

    network = "units: [3], norm: layer, eps: 0.001, activation: leaky_relu, slope: 0.2"
    check(f"from: uv, selector: z, kind: sigmoid, {network}", factors, optimize=optimize)


@BOTH
@pytest.mark.parametrize(("kind", "last"), [("relu", torch.relu), ("linear", lambda x: x)])
def test_senet(*, kind: str, last: Callable[[Tensor], Tensor], optimize: bool) -> None:
    """FiBiNET, eq. 4-6: the mean of each field, two layers, a factor per field; fields may have different widths."""

    def factors(w: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        squeezed = torch.stack([b["u"].mean(1), b["v"].mean(1)], dim=1)
        hidden = torch.relu(functional.linear(squeezed, w["layers.0.weight"], w["layers.0.bias"]))
        return fields(last(hidden @ w["head.weight"].T))

    check(f"from: uv, squeeze: mean, kind: {kind}, units: [3]", factors, optimize=optimize)


@BOTH
def test_squeezing_another_selector(*, optimize: bool) -> None:
    """The squeeze applies to the selector: its fields have one width here, and a sum counts as one field."""

    def factors(w: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        squeezed = torch.stack([b["z"].mean(1), (b["z"] + b["z"]).mean(1)], dim=1)
        return (squeezed @ w["head.weight"].T).sigmoid()

    check("from: uv, selector: [z, {sum: [z, z]}], squeeze: mean, per: element, kind: sigmoid", factors,
          optimize=optimize)  # fmt: skip


def test_factors_of_one_are_no_gate() -> None:
    """SENet with W = 0 and a bias of 1 returns every field unchanged, exactly."""
    gate = "feature_gates: {f: {from: uv, squeeze: mean, kind: linear, bias: true}}\n"
    texts = [f"{ONE_TASK}{INPUTS}{gate}towers: {{y: {{from: {stream}}}}}\n" for stream in ("f", "uv")]
    gated, plain = (model_of(text, optimize=True) for text in texts)
    weights = dict(gated.named_weights())
    weights["feature_gates.f.head.weight"].zero_()
    weights["feature_gates.f.head.bias"].fill_(1.0)
    plain.load_weights(weights, strict=False)
    batch = batch_of(texts[0], 6)
    assert torch.equal(gated(batch)["y"], plain(batch)["y"])


@BOTH
def test_a_softmax_over_elements(*, optimize: bool) -> None:
    """`per: element` with softmax: the factors of all elements add up to the scale."""
    check("from: uv, selector: [{detach: u}, z], per: element, scale: 5",
          lambda w, b: 5 * (torch.cat([b["u"], b["z"]], dim=1) @ w["head.weight"].T).softmax(-1),
          optimize=optimize)  # fmt: skip
