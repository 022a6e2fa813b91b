"""Identities from the papers: two specs with the same weights compute the same function where theory says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import archspec
from tests.compiler.models import BOTH, HEAD, assert_agree, batch_of, model_of, run, spec_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from archspec.nn.module import Compiled

EXACT = 1e-12

DENSE = "inputs: {x: {kind: dense, dim: 6}}\ntasks: {a: {kind: binary}, b: {kind: regression}}\n"
TOWERS = "towers: {$task: {units: [3]}}\n"
BOTTOM = (
    DENSE
    + "levels: [{experts: {shared: {units: [5, 4]}}}]\ntowers: {$task: {from: level1.experts.shared, units: [3]}}\n"
)
FIELDS = """
inputs: {u: {kind: sparse, vocab: 5, dim: 3}, v: {kind: sparse, vocab: 4, dim: 2}, x: {kind: dense, dim: 2}}
tasks: {a: {kind: binary}}
"""


def level(experts: str, gates: str) -> str:
    """A spec on numbers with one level."""
    return DENSE + f"levels: [{{experts: {experts}, gates: {gates}}}]\n" + TOWERS


def assert_same_function(model: Compiled, other: Compiled, rename: Callable[[str], str] = str) -> None:
    """After the model loads the other's weights by name, outputs and gradients of both are equal."""
    weights = {rename(name): value for name, value in other.named_weights()}
    unknown = set(weights) - {name for name, _ in model.named_weights()}
    assert not unknown
    model.load_weights(weights, strict=False)
    batch = batch_of(FIELDS_SPEC if "inputs.u.weight" in weights else DENSE_SPEC, 9)
    outputs, gradients, numbers = run(model, batch)
    right_outputs, right_gradients, right_numbers = run(other, batch)
    assert_agree(outputs, right_outputs, EXACT)
    assert_agree(numbers, right_numbers, EXACT)
    found = {name: gradients[rename(name)] for name in right_gradients}
    assert_agree(found, right_gradients, EXACT)


DENSE_SPEC = archspec.load(HEAD + BOTTOM)
FIELDS_SPEC = archspec.load(HEAD + FIELDS + "towers: {a: {}}\n")


def zero(model: Compiled, part: str) -> None:
    """Sets the weights whose name contains the part to zero."""
    views = [view for name, view in model.named_weights() if part in name]
    assert views
    for view in views:
        view.zero_()


@BOTH
def test_mmoe_with_one_expert_is_shared_bottom(*, optimize: bool) -> None:
    """A softmax over one expert is 1."""
    mmoe = model_of(HEAD + level("{shared: {units: [5, 4]}}", "{$task: {sees: shared}}"), optimize=optimize)
    assert_same_function(mmoe, model_of(HEAD + BOTTOM, optimize=False, seed=1))


@BOTH
def test_one_level_of_ple_is_cgc(*, optimize: bool) -> None:
    """PLE with `repeat: 1` equals the CGC in its own file; its shared gate is unread."""
    one = archspec.load(spec_file("ple"), {"levels.1.repeat": 1})
    cgc = archspec.load(spec_file("cgc"))
    model, other = model_of(one, optimize=optimize), model_of(cgc, optimize=False, seed=1)
    model.load_weights(dict(other.named_weights()))
    batch = batch_of(cgc, 9)
    for found, right in zip(run(model, batch), run(other, batch), strict=True):
        assert_agree(found, right, EXACT)


@BOTH
def test_cgc_without_task_experts_is_mmoe(*, optimize: bool) -> None:
    """CGC without task experts mixes the shared ones per task, as MMoE does."""
    shared = "{shared: {count: 3, units: [5, 4]}}"
    cgc = level(shared, "{$task: {sees: [shared]}, shared: {sees: all}}")
    mmoe = level(shared, "{$task: {sees: all}}")
    assert_same_function(model_of(HEAD + cgc, optimize=optimize), model_of(HEAD + mmoe, optimize=False, seed=1))


@BOTH
def test_cross_stitch_with_the_identity_is_single_task(*, optimize: bool) -> None:
    """Static weights that start as the identity give each task its own experts only."""
    stitched = level("{$task: {units: [4]}}", "{$task: {sees: all, selector: none, kind: linear, init: identity}}")
    single = (
        DENSE
        + "levels: [{experts: {$task: {units: [4]}}}]\ntowers: {$task: {from: level1.experts.$task, units: [3]}}\n"
    )
    model = archspec.compile(HEAD + stitched, optimize=optimize, seed=0).double()
    assert_same_function(model, model_of(HEAD + single, optimize=False, seed=1))


@BOTH
def test_adatt_with_zero_static_weights_is_cgc_without_shared_experts(*, optimize: bool) -> None:
    """AdaTT adds a selected mix and a static mix of own experts; with zeros only the selected one remains."""
    experts = "{$task: {count: 2, units: [4]}}"
    static = "own_$task: {sees: [$task], selector: none, kind: linear}"
    adatt = level(experts, f"{{{static}, $task: {{sees: [$task], residual: own_$task}}}}")
    cgc = level(experts, "{$task: {sees: [$task]}}")
    model = model_of(HEAD + adatt, optimize=optimize)
    zero(model, "gates.own_")
    assert_same_function(model, model_of(HEAD + cgc, optimize=False, seed=1))


@BOTH
def test_epnet_with_zero_logits_is_no_gate(*, optimize: bool) -> None:
    """2 sigmoid(0) = 1."""
    gate = "feature_gates: {scaled: {from: inputs, selector: u, per: element, kind: sigmoid, scale: 2}}\n"
    check_feature_gate(gate, optimize=optimize)


@BOTH
def test_equal_field_weights_are_no_gate(*, optimize: bool) -> None:
    """A softmax over n equal logits is 1/n, times the number of fields."""
    gate = "feature_gates: {scaled: {from: inputs, selector: [u, x], per: field, kind: softmax, scale: fields}}\n"
    check_feature_gate(gate, optimize=optimize)


def check_feature_gate(gate: str, *, optimize: bool) -> None:
    """With zero logits a feature gate changes no output, and no gradient except its own."""
    gated = model_of(HEAD + FIELDS + gate + "towers: {a: {from: scaled, units: [3]}}\n", optimize=optimize)
    plain = model_of(HEAD + FIELDS + "towers: {a: {from: inputs, units: [3]}}\n", optimize=False, seed=1)
    zero(gated, "feature_gates.")
    assert_same_function(gated, plain)


@BOTH
@pytest.mark.parametrize("at", ["hidden", "input", "layer_inputs"])
def test_zero_modulation_of_ppnet_is_no_modulation(*, at: str, optimize: bool) -> None:
    """With 2 sigmoid(0) = 1, the inputs or outputs of the modulated layers are unchanged."""
    towers = f"towers: {{$task: {{from: x, units: [4, 3], modulate: {{at: {at}}}}}}}\n"
    modulated = model_of(HEAD + DENSE + towers, optimize=optimize)
    plain = model_of(HEAD + DENSE + "towers: {$task: {from: x, units: [4, 3]}}\n", optimize=False, seed=1)
    zero(modulated, ".modulate.")
    assert_same_function(modulated, plain)
