"""Specs drawn by hypothesis are either refused with a diagnostic or compile and run; there is no third outcome."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch
from hypothesis import HealthCheck, Phase, event, given, settings

import archspec
from archspec.compiler.compile import build
from archspec.graph.load import graph_of
from tests.compiler.models import batch_of, model_of, run, tiles_of
from tests.strategies import specs, streams

if TYPE_CHECKING:
    from archspec.nn.module import Compiled
    from tests.compiler.models import Tensors

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"


def check(text: str) -> None:
    """Checks this for one text."""
    try:
        spec = archspec.load(text)
    except archspec.SpecError as error:
        assert error.diagnostics  # noqa: PT017 - a refusal is one of two right answers
        event("refused")
        return
    event("accepted")
    again = archspec.load(spec.text())
    assert again.text() == spec.text()
    assert again.digest == spec.digest
    plain, fast = model_of(spec, optimize=False), model_of(spec, optimize=True)
    check_weights(spec, plain, fast)
    for rows in (0, 1, 5):
        check_batch(spec, plain, fast, rows)


def check_weights(spec: archspec.Spec, plain: Compiled, fast: Compiled) -> None:
    """The program's counts equal torch's, and both modules have the same weights."""
    weights = build(graph_of(spec), optimize=False).lowered.forward.weights
    shapes = {name: weight.shape for name, weight in weights.items()}
    for model in (plain, fast):
        assert {name: tuple(view.shape) for name, view in model.named_weights()} == shapes
        counted = sum(parameter.numel() for parameter in model.parameters())
        assert counted == sum(view.numel() for name, view in model.named_weights() if weights[name].trainable)
    views = dict(fast.named_weights())
    assert all(view.equal(views[name]) for name, view in plain.named_weights())


def check_batch(spec: archspec.Spec, plain: Compiled, fast: Compiled, rows: int) -> None:
    """Outputs, gradients, scores and gate weights of both modules agree on a batch, also in tiles of two rows."""
    batch = batch_of(spec, rows)
    run(plain.train(), batch)
    run(fast.train(), batch)
    fast.load_weights(dict(plain.named_weights()))
    plain.eval()
    fast.eval()
    found, right = run(fast, batch), run(plain, batch)
    for actual, wanted in zip(found, right, strict=True):
        assert_same(actual, wanted)
    assert_same(fast.predict(batch), plain.predict(batch))
    gates = plain.gate_weights(batch)
    assert_same(fast.gate_weights(batch), gates)
    assert all(len(weights) == rows for weights in gates.values())
    for model in (plain, fast):
        with tiles_of(model, 2), torch.no_grad():
            assert_same(model(batch), right[0])
            assert_same(model.gate_weights(batch), gates)


def assert_same(actual: Tensors, wanted: Tensors) -> None:
    """Values are equal by name to 1e-10, and NaN in the same places."""
    assert set(actual) == set(wanted)
    torch.testing.assert_close(dict(actual), dict(wanted), rtol=1e-10, atol=1e-10, equal_nan=True)


@given(specs())
@settings(
    max_examples=5000 if NIGHTLY else 40,
    # Shrinking rebuilds two models a hundred times: in the default profile, the drawn spec is shown as it is.
    phases=tuple(Phase) if NIGHTLY else (Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
def test_a_spec_is_refused_or_runs(text: str) -> None:
    """Any text of the language is refused with a diagnostic, or builds, runs and agrees with its optimized version."""
    check(text)


@given(streams())
@settings(
    max_examples=2000 if NIGHTLY else 25,
    phases=tuple(Phase) if NIGHTLY else (Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
def test_blocks_of_rows_tokens_and_fields_run(text: str) -> None:
    """Blocks that read inputs, events and each other in any order are counted, and optimized without a change."""
    check(text)
