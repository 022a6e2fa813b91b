"""Features of every compiled module: weights by canonical name, copies, devices, seeds."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING

import pytest
import torch

import archspec
from tests.compiler.models import BOTH, HEAD, NAMES, assert_agree, batch_of, model_of, run, spec_file, spec_of

if TYPE_CHECKING:
    from archspec.nn.module import Compiled

EVERYTHING = (
    HEAD
    + """
inputs:
  x: {kind: dense, dim: 3}
  one: {kind: dense, dim: 1, column: the one}
  user: {kind: sparse, vocab: 7, dim: 2}
  past: {kind: sequence, table: user, length: 4}
  scene: {kind: domain, values: [p, q], dim: 2}
tasks: {a: {kind: binary}, b: {kind: multiclass, classes: 3}}
levels:
  - experts: {$task: {units: [4], norm: batch}, shared: {count: 2, units: [4]}}
    gates:
      a: {sees: [a, shared], kind: topk, k: 2, balance: 0.1}
      b: {sees: all, selector: none, kind: linear}
towers: {a: {switch: scene, cases: {$domain: {}}}, b: {units: [3], dropout: 0.5}}
"""
)


def everything(*, optimize: bool, seed: int = 0) -> Compiled:
    """A model that uses a bit of everything."""
    return model_of(EVERYTHING, optimize=optimize, seed=seed)


@BOTH
def test_named_weights_are_views(*, optimize: bool) -> None:
    """Writing to what `named_weights` yields writes to the model."""
    model = everything(optimize=optimize)
    for _, view in model.named_weights():
        view.fill_(0.5)
    assert all((value == 0.5).all() for value in model.state_dict().values())
    assert not any(view.requires_grad for _, view in model.named_weights())


@BOTH
def test_one_seed_gives_one_start(*, optimize: bool) -> None:
    """With one seed, plain and optimized modules of every spec start alike; the global generator is not touched."""
    state = torch.get_rng_state()
    for name in NAMES:
        plain = dict(archspec.compile(spec_of(name), optimize=False, seed=7).named_weights())
        other = dict(archspec.compile(spec_of(name), optimize=optimize, seed=7).named_weights())
        assert plain.keys() == other.keys()
        assert all(value.equal(other[key]) for key, value in plain.items())
        third = dict(archspec.compile(spec_of(name), optimize=optimize, seed=8).named_weights())
        assert not all(value.equal(third[key]) for key, value in plain.items())
    assert torch.get_rng_state().equal(state)


@BOTH
def test_without_a_seed_the_global_generator_decides(*, optimize: bool) -> None:
    """`torch.manual_seed` before `compile` reproduces a model, as for any module."""
    torch.manual_seed(3)
    first = dict(archspec.compile(spec_file("mmoe"), optimize=optimize).named_weights())
    second = dict(archspec.compile(spec_file("mmoe"), optimize=optimize).named_weights())
    torch.manual_seed(3)
    again = dict(archspec.compile(spec_file("mmoe"), optimize=optimize).named_weights())
    assert all(value.equal(again[key]) for key, value in first.items())
    assert not all(value.equal(second[key]) for key, value in first.items())


@BOTH
def test_weights_start_like_those_of_torch(*, optimize: bool) -> None:
    """Linear weights and biases are uniform within 1/sqrt(fan-in of one expert); tables are standard normal."""
    weights = dict(archspec.compile(spec_file("mmoe"), optimize=optimize, seed=0).named_weights())
    for expert in range(8):
        first = weights[f"level1.experts.shared.{expert}.layers.0.weight"]
        bound = first.shape[1] ** -0.5
        assert 0.95 * bound < float(first.abs().max()) <= bound
        assert float(weights[f"level1.experts.shared.{expert}.layers.0.bias"].abs().max()) <= bound
    assert float(weights["inputs.user.weight"].std()) == pytest.approx(1, abs=0.02)


@BOTH
def test_loading_lists_everything_that_is_wrong_and_copies_nothing(*, optimize: bool) -> None:
    """Missing, extra and misshapen weights are reported together; the model remains unchanged."""
    model, other = everything(optimize=optimize), everything(optimize=optimize, seed=5)
    before = {name: view.clone() for name, view in model.named_weights()}
    weights = dict(other.named_weights())
    del weights["towers.b.head.bias"]
    weights["towers.c.head.bias"] = torch.zeros(1)
    weights["towers.b.head.weight"] = torch.zeros(2, 2)
    with pytest.raises(ValueError, match="do not fit Tiny") as error:
        model.load_weights(weights)
    text = str(error.value)
    assert "towers.b.head.bias: missing" in text
    assert "towers.c.head.bias: the model has no such weight" in text
    assert "towers.b.head.weight: shape [2, 2], the model has [3, 3]" in text
    assert_agree(dict(model.named_weights()), before, 0.0)
    with pytest.raises(ValueError, match=r"head\.weight: shape"):
        model.load_weights(weights, strict=False)
    assert_agree(dict(model.named_weights()), before, 0.0)


@BOTH
def test_loading_without_strict_takes_what_fits_by_name(*, optimize: bool) -> None:
    """`strict=False` copies the weights whose names occur on both sides."""
    model, other = everything(optimize=optimize), everything(optimize=False, seed=5)
    weights = dict(other.named_weights())
    model.load_weights({"towers.b.head.bias": weights["towers.b.head.bias"], "unknown": torch.zeros(1)}, strict=False)
    assert dict(model.named_weights())["towers.b.head.bias"].equal(weights["towers.b.head.bias"])


@BOTH
def test_a_copy_is_a_model_of_its_own(*, optimize: bool) -> None:
    """`copy.deepcopy` shares nothing with the original, even after a training step with auxiliary losses."""
    model, batch = everything(optimize=optimize).train(), batch_of(EVERYTHING, 5)
    run(model, batch)
    other = copy.deepcopy(model)
    assert_agree(other.eval()(batch), model.eval()(batch), 0.0)
    for _, view in other.named_weights():
        view.zero_()
    assert all(view.any() for name, view in model.named_weights() if name.endswith("weight"))


@BOTH
def test_a_state_dict_goes_round(*, optimize: bool) -> None:
    """`state_dict` is plain torch: saved with torch.save, loaded with only tensors unpickled."""
    model, other, batch = everything(optimize=optimize), everything(optimize=optimize, seed=9), batch_of(EVERYTHING, 5)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert_agree(other.eval()(batch), model.eval()(batch), 0.0)


@BOTH
def test_precision_follows_the_module(*, optimize: bool) -> None:
    """`.double()` and `.float()` convert every tensor, and outputs have the module's type."""
    for dtype in (torch.float64, torch.float32):
        model = everything(optimize=optimize).to(dtype).eval()
        outputs = model(batch_of(EVERYTHING, 3, dtype=dtype))
        assert {value.dtype for value in outputs.values()} == {dtype}


def test_weights_of_another_spec_are_told_in_a_few_lines() -> None:
    """Of hundreds of mismatched names, ten are listed and the rest is counted."""
    model, other = (archspec.compile(spec_of(name), seed=0) for name in ("ple", "stem"))
    with pytest.raises(ValueError, match=r"weights do not fit Ple:\n(  .*\n){10}  and \d+ more$"):
        model.load_weights(dict(other.named_weights()))


@BOTH
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_model_runs_on_cuda(*, optimize: bool) -> None:
    """Outputs and gradients on a CUDA device equal those on the CPU."""
    model, batch = everything(optimize=optimize).eval(), batch_of(EVERYTHING, 5)
    right = run(model, batch)
    found = run(model.to("cuda"), {key: value.to("cuda") for key, value in batch.items()})
    for actual, wanted in zip(found, right, strict=True):
        assert_agree({key: value.cpu() for key, value in actual.items()}, wanted, 1e-10)


@BOTH
def test_gate_weights_have_no_gradient_and_one_row_per_row(*, optimize: bool) -> None:
    """Gate weights have canonical names and the shape `[B, experts seen]`, static gates included."""
    gates = everything(optimize=optimize).eval().gate_weights(batch_of(EVERYTHING, 5))
    assert {name: tuple(value.shape) for name, value in gates.items()} == {
        "level1.gates.a": (5, 3),
        "level1.gates.b": (5, 4),
    }
    assert not any(value.requires_grad for value in gates.values())
    torch.testing.assert_close(gates["level1.gates.a"].sum(1), torch.ones(5, dtype=torch.float64))


@BOTH
def test_training_lowers_the_loss(*, optimize: bool) -> None:
    """A few steps of gradient descent on the module's parameters reduce the loss."""
    model, batch = everything(optimize=optimize).eval(), batch_of(EVERYTHING, 16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.stack([value.square().mean() for value in model(batch).values()]).sum()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]
