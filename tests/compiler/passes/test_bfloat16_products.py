"""bfloat16 products: which results stay in bfloat16, and that the rounded model is trained like the exact one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from archspec.compiler.compile import instantiate
from archspec.compiler.passes import EXACT_PASSES
from archspec.compiler.passes.bfloat16_products import bfloat16_products
from archspec.compiler.passes.example import example
from archspec.nn.measure import random_batch
from tests.compiler.passes.programs import PLE, after, outputs_and_gradients, plain

if TYPE_CHECKING:
    from archspec.program import Program


def staying(program: Program) -> list[str]:
    """The results that stay in bfloat16, in the order of the program."""
    return [op.output.name for op in program.ops if op.attr("rounded")]


def test_a_hidden_layer_stays_in_bfloat16() -> None:
    """A product stays in bfloat16 through an activation to the next product; the last result does not."""
    found = bfloat16_products(example("a = linear(x)", "b = relu(a)", "c = linear(b)", output="c")).program
    assert staying(found) == ["a"]


@pytest.mark.parametrize(
    "lines",
    [
        ("a = linear(x)", "b = softmax(a)", "c = linear(b)"),
        ("a = linear(x)", "b = linear(a)", "c = a + b"),
        ("a = linear(x)", "b = 2.0 * a", "c = linear(b)"),
    ],
)
def test_a_result_that_others_compute_with_does_not(lines: tuple[str, ...]) -> None:
    """A softmax, a sum or a factor is computed in the model's own type."""
    assert staying(bfloat16_products(example(*lines, output="c")).program) == []


def test_a_second_run_changes_nothing() -> None:
    """The pass leaves products that are rounded already as they are."""
    once, _ = after(plain(PLE), *EXACT_PASSES, bfloat16_products)
    again, result = after(once, bfloat16_products)
    assert result.rewrites == ()
    assert again.lowered.forward == once.lowered.forward
    assert staying(once.lowered.forward)


def test_gradients_are_near_those_in_float32() -> None:
    """Outputs, gate weights and gradients of all weights are those of the exact model to a few percent."""
    before, _ = after(plain(PLE), *EXACT_PASSES)
    rounded, _ = after(before, bfloat16_products)
    exact, near = outputs_and_gradients(before), outputs_and_gradients(rounded)
    assert exact.keys() == near.keys()
    for name, value in exact.items():
        torch.testing.assert_close(near[name], value, rtol=0.05, atol=0.03 * float(value.abs().max() + 0.1))


def test_results_have_the_type_of_the_model() -> None:
    """Logits and gate weights of a rounded model are float32; after `.to(torch.bfloat16)`, bfloat16."""
    built, _ = after(plain(PLE), *EXACT_PASSES, bfloat16_products)
    model = instantiate(built, seed=0).eval()
    columns = [(key, c.dtype, c.shape, c.low, c.high) for key, c in built.lowered.columns.values()]
    batch = random_batch(columns, 3)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        model.to(dtype)
        given = {name: x.to(dtype) if x.is_floating_point() else x for name, x in batch.items()}
        found = {**model(given), **model.gate_weights(given)}
        assert {value.dtype for value in found.values()} == {dtype}
