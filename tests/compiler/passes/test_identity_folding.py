"""Identity folding: a softmax over one choice, a scale by one, and a mix of one expert are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from archspec.compiler.compile import instantiate
from archspec.compiler.passes import EXACT_PASSES
from archspec.compiler.passes.dead_operations import dead_operations
from archspec.compiler.passes.example import example
from archspec.compiler.passes.identity_folding import identity_folding
from archspec.program import verify
from tests.compiler.passes.programs import HEAD, after, assert_same, plain, program_of

if TYPE_CHECKING:
    from archspec.program import Scope, Value

ONE_CHOICE = (
    HEAD
    + """
levels:
  - experts: {$task: {units: [6, 4]}, shared: {count: 2, units: [6, 4]}}
    gates:
      one: {sees: [one], units: [3]}
      two: {sees: all}
towers: {$task: {units: [3]}}
"""
)
"""Gate `one` has one choice, gate `two` has four."""


def test_a_gate_with_one_choice_is_its_expert() -> None:
    """The mix and the gate's layers are removed; the reported gate weights are still ones."""
    folded, result = after(plain(ONE_CHOICE), identity_folding)
    assert result.rewrites == ("level1.gates.one.mix is level1.experts.one.0.relu~2: one expert, whose weight is one",)
    program = folded.lowered.forward
    assert not any(op.node == "level1.gates.one" and op.kind in {"linear", "softmax", "mix"} for op in program.ops)
    weights = instantiate(folded, seed=0).gate_weights({"x": torch.zeros(3, 5), **ids(3)})
    assert weights["level1.gates.one"].equal(torch.ones(3, 1))


def ids(rows: int) -> dict[str, torch.Tensor]:
    """Zeros for the sparse inputs."""
    return {name: torch.zeros(rows, dtype=torch.int64) for name in "abc"}


def test_a_mix_of_one_expert_with_other_weights_is_a_product() -> None:
    """A sigmoid over one choice scales its expert by one elementwise product, without a stack."""
    folded, result = after(
        plain(ONE_CHOICE.replace("units: [3]}\n      two", "kind: sigmoid}\n      two")), identity_folding
    )
    assert result.rewrites == ("level1.gates.one.mix: a mix of one expert is a product",)
    assert_same(plain(ONE_CHOICE.replace("units: [3]}\n      two", "kind: sigmoid}\n      two")), folded)


def test_a_scale_by_one_is_nothing() -> None:
    """`1 * x` is folded to x; `2 * x` is not folded."""
    assert [
        str(op).partition(" = ")[2]
        for op in identity_folding(example("a = 1.0 * x", "b = 2.0 * a", output="b")).program.ops
    ] == [
        "column() key='x' source='batch'",
        "scale(x) factor=2.0",
    ]


def test_statistics_below_a_softmax_keep_it() -> None:
    """A softmax stays if removing it would remove a batch norm with statistics; a remark says so."""
    text = """
levels:
  - experts: {shared: {count: 2, units: [4]}, side: {count: 2, units: [4], norm: batch}}
    gates: {one: {sees: shared}, two: {sees: shared}, side: {sees: side}}
  - experts: {only: {from: one, units: [4]}}
    gates: {one: {sees: [only], selector: side}, two: {sees: [only], selector: two}}
towers: {$task: {units: [3]}}
"""
    before = plain(HEAD + text)
    folded, result = after(before, identity_folding)
    assert "level2.gates.one.mix: a mix of one expert is a product" in result.rewrites
    (remark,) = result.remarks
    assert remark.startswith("level2.gates.one.softmax: a softmax over one choice is kept: `level1.experts.side.")
    assert_same(before, folded)


@pytest.mark.parametrize("shared", [False, True])
def test_what_others_read_too_does_not_keep_a_softmax(*, shared: bool) -> None:
    """A softmax with one choice stays only if nothing else reads the statistics below it."""

    def mixed(at: Scope, x: Value) -> Value:
        normed = at.norm(x, "batch", "norm")
        weights = at.softmax(at.linear(normed, 1, "gate"))
        return at.mix(weights, (normed if shared else at.activation(x, "relu"),))

    result = identity_folding(program_of(mixed))
    kinds = [op.kind for op in verify(result.program).ops]
    assert ("softmax" in kinds) is not shared
    assert bool(result.remarks) is not shared


def test_outputs_and_gradients_stay_and_the_gate_keeps_its_weights() -> None:
    """They agree to 1e-10, alone and with all passes; the weights of a folded gate remain, without a gradient."""
    before = plain(ONE_CHOICE)
    for passes in ((identity_folding, dead_operations), EXACT_PASSES):
        folded, _ = after(before, *passes)
        assert_same(before, folded)
        models = [instantiate(built, seed=0) for built in (before, folded)]
        names = [[name for name, _ in model.named_weights()] for model in models]
        assert names[0] == names[1]
        idle = [parameter.shape for parameter in models[1].parameters() if not parameter.requires_grad]
        assert sorted(idle) == [(1, 3), (3,), (3, 13)]


def test_a_second_run_changes_nothing() -> None:
    """A second run rewrites nothing: operations and unused weights are the same."""
    once, _ = after(plain(ONE_CHOICE), identity_folding)
    again, result = after(once, identity_folding)
    assert result.rewrites == ()
    assert again.lowered.forward.ops == once.lowered.forward.ops
    assert again.lowered.forward.storages == once.lowered.forward.storages
