"""Gate statistics over data, compared with known weights."""

from __future__ import annotations

import pytest
import torch

import archspec
from archspec.train.gates import GateStatistics, gate_findings, gate_statistics

TEXT = """
archspec: 1
name: gated
inputs:
  x: {kind: dense, dim: 2}
tasks:
  a: {kind: binary}
  b: {kind: binary}
levels:
  - experts:
      shared: {count: 2, units: [3]}
    gates:
      a: {sees: shared}
      b: {sees: shared, kind: linear, selector: none}
towers:
  $task: {}
"""


def test_statistics_are_those_of_all_rows() -> None:
    """Mean and deviation over uneven batches are those over all rows; a static gate has no deviation."""
    model = archspec.compile(TEXT, seed=0)
    x = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    a, b = gate_statistics(model, [{"x": x[:5]}, {"x": x[5:]}])
    weights = model.gate_weights({"x": x})["level1.gates.a"].double()
    assert (a.gate, a.experts) == ("level1.gates.a", ("level1.experts.shared.0", "level1.experts.shared.1"))
    assert a.means == pytest.approx(weights.mean(0).tolist(), abs=1e-9)
    assert a.deviations == pytest.approx(weights.std(0, correction=0).tolist(), abs=1e-7)
    assert b.means == pytest.approx((0.5, 0.5))
    assert b.deviations == pytest.approx((0, 0), abs=1e-7)
    assert b.rows == 7
    assert model.training


def test_no_row_is_an_error() -> None:
    """Statistics without rows are refused."""
    with pytest.raises(ValueError, match="the batches contain no rows"):
        gate_statistics(archspec.compile(TEXT), [])


def gate(name: str, *means: float) -> GateStatistics:
    """Statistics without deviation."""
    return GateStatistics(name, tuple(f"e{i}" for i in range(len(means))), means, (0.0,) * len(means), 10)


def test_an_expert_that_nobody_uses_is_found() -> None:
    """An expert is reported only if its weight is small in every gate that sees it."""
    assert gate_findings([gate("a", 0.7, 0.295, 0.005), gate("b", 0.295, 0.7, 0.005)]) == (
        "no gate uses e2: its highest mean weight is 0.0050",
    )


def test_a_collapsed_gate_is_found() -> None:
    """A gate with all its weight on one expert is reported, even if another gate uses the rest."""
    assert gate_findings([gate("a", 0.995, 0.005), gate("b", 0.5, 0.5)]) == (
        "a has collapsed: e0 has a mean weight of 0.9950",
    )


def test_gates_that_do_not_differ_are_found() -> None:
    """Two gates with the same experts and weights are reported; gates on different experts are not compared."""
    findings = gate_findings([gate("a", 0.5, 0.5), gate("b", 0.5, 0.5), gate("c", 0.3, 0.3, 0.4)])
    assert findings == ("a and b do not differ",)
