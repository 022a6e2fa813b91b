"""Small passes: dead operations, common subexpressions, shared lookups, bfloat16."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from archspec.compiler.passes import EXACT_PASSES, LAYOUT_PASSES, PassResult
from archspec.compiler.passes.bfloat16_products import bfloat16_products
from archspec.compiler.passes.common_subexpressions import common_subexpressions
from archspec.compiler.passes.dead_operations import dead_operations
from archspec.compiler.passes.example import example
from archspec.compiler.passes.shared_lookups import shared_lookups
from archspec.compiler.passes.side_by_side import side_by_side
from archspec.compiler.passes.transposed_weights import transposed_weights
from archspec.compiler.passes.wide_products import wide_products
from archspec.program import Program, Scope, Value, verify
from archspec.program.nodes import NodeName
from archspec.program.program import Module
from tests.compiler.passes.programs import HEAD, PLE, after, assert_same, plain, program_of

if TYPE_CHECKING:
    from collections.abc import Callable

ALONE = (dead_operations, common_subexpressions, shared_lookups, wide_products, side_by_side, transposed_weights)


@pytest.mark.parametrize("run", ALONE, ids=lambda run: run.__name__)
def test_a_pass_alone_keeps_outputs_and_gradients(run: object) -> None:
    """Each exact pass keeps outputs, gate weights and gradients of a PLE to 1e-10."""
    before = plain(PLE)
    optimized, _ = after(before, run)  # type: ignore[arg-type] # one of ALONE
    assert_same(before, optimized)


@pytest.mark.parametrize("run", ALONE, ids=lambda run: run.__name__)
def test_a_second_run_changes_nothing(run: object) -> None:
    """A second run of a pass rewrites nothing, and the operations are the same in some order."""
    once, _ = after(plain(PLE), run)  # type: ignore[arg-type] # one of ALONE
    again, result = after(once, run)  # type: ignore[arg-type] # one of ALONE
    assert result.rewrites == ()
    assert sorted(map(str, again.lowered.forward.ops)) == sorted(map(str, once.lowered.forward.ops))


def test_all_passes_keep_outputs_and_gradients() -> None:
    """All exact passes, run in their order, keep outputs and gradients."""
    before = plain(PLE)
    optimized, _ = after(before, *EXACT_PASSES, *LAYOUT_PASSES)
    assert_same(before, optimized)
    assert len(optimized.lowered.forward.ops) < 0.6 * len(before.lowered.forward.ops)


def test_dead_operations_drop_their_weights_too() -> None:
    """A linear operation that nothing reads is removed with its weights; one that is read stays."""
    result = dead_operations(example("a = linear(x)", "b = linear(x)", output="b"))
    assert result.rewrites == ("dropped a",)
    assert sorted(result.program.weights) == ["b.bias", "b.weight"]


def test_equal_operations_are_computed_once_but_not_random_ones() -> None:
    """Two activations of one value become one; two dropouts remain two."""
    assert common_subexpressions(example("a = relu(x)", "b = relu(x)", "c = a + b", output="c")).rewrites == ("b is a",)
    noisy = plain(HEAD + "towers:\n  $task: {from: inputs, units: [3], dropout: 0.5}\n")
    assert sum(op.kind == "dropout" for op in after(noisy, common_subexpressions)[0].lowered.forward.ops) == 2


def test_only_weights_of_products_on_rows_are_transposed() -> None:
    """A weight that another operation reads, too, and the weights of stacks keep their layout."""
    program = after(plain(PLE), *EXACT_PASSES, *LAYOUT_PASSES)[0].lowered.forward
    for op in (op for op in program.ops if op.kind == "linear"):
        rows = not op.inputs[0].is_stack
        assert bool(op.attr("transposed")) == rows
        assert program.storages[op.weights[0]].shape[-2:] == (op.inputs[0].width, op.output.width)
    before = example("a = linear(x)", "b = linear(x)", output="a")
    first = next(op for op in before.ops if op.kind == "linear")
    reader = replace(first, kind="parameter", inputs=(), weights=first.weights[:1])
    assert transposed_weights(before).rewrites == ("a.weight as [D, H]", "b.weight as [D, H]")
    assert transposed_weights(replace(before, ops=(*before.ops, reader))).rewrites == ("b.weight as [D, H]",)


NOISE = Module(NodeName(part="noise"), "tests", "Noise", (), (4,))
TWICE: dict[str, Callable[[Scope, Value], Value]] = {
    "dropout": lambda at, x: at.dropout(x, 0.5),
    "batch_norm": lambda at, x: at.norm(x, "batch", "norm"),
    "dice": lambda at, x: at.activation(x, "dice", name="dice"),
    "apply": lambda at, x: at.apply("hard_concrete", x, beta=0.5, gamma=-0.1, zeta=1.1, training=True),
    "call": lambda at, x: at.call(NOISE, (x,), x.shape),
}
ONCE: dict[str, Callable[[Scope, Value], Value]] = {
    "layer_norm": lambda at, x: at.norm(x, "layer", "norm"),
    "linear": lambda at, x: at.linear(x, 3, "layer"),
    "prelu": lambda at, x: at.activation(x, "prelu", name="prelu"),
    "scale": lambda at, x: at.scale(x, 2.0),
}
DIFFERENT: dict[str, Callable[[Scope, Value, int], Value]] = {
    "attributes": lambda at, x, number: at.scale(x, 2.0 + number),
    "weights": lambda at, x, number: at.linear(x, 3, f"layer{number}"),
    "function": lambda at, x, number: at.activation(x, ("relu", "tanh")[number]),
    "kind": lambda at, x, number: (at.softmax, at.detach)[number](x),
    "shape": lambda at, x, number: at.apply("any", x, shape=("B", 1 + number)),
}


def made_twice(make: Callable[[Scope, Value, int], Value]) -> Program:
    """A program that applies `make` to one value twice and concatenates the results."""
    return program_of(lambda at, x: at.concat(make(at, x, 0), make(at, x, 1)))


@pytest.mark.parametrize("kind", [*TWICE, *ONCE])
def test_what_draws_or_remembers_is_done_twice(kind: str) -> None:
    """With one operand, equal weights and attributes, two dropouts stay two, but two layer normalisations merge."""
    program = made_twice(lambda at, x, _: {**TWICE, **ONCE}[kind](at, x))
    result = common_subexpressions(program)
    found = [op.output.name for op in verify(result.program).ops if op.kind == kind]
    (both,) = (op for op in result.program.ops if op.kind == "concat")
    assert len(found) == 1 + (kind in TWICE)
    assert [value.name for value in both.inputs] == (found * 2)[:2]


@pytest.mark.parametrize("part", DIFFERENT)
def test_what_differs_in_one_part_is_not_the_same(part: str) -> None:
    """Operations with the same operand that differ in one part are both kept."""
    program = made_twice(DIFFERENT[part])
    assert common_subexpressions(program) == PassResult(program)


def test_tables_of_one_width_are_looked_up_once() -> None:
    """Two tables of width 3 become one of 7 + 4 rows; the table of width 2 stays separate."""
    before = plain(PLE)
    optimized, result = after(before, shared_lookups)
    assert result.rewrites == ("one lookup for 2 inputs of width 3",)
    shapes = {storage.shape for storage in optimized.lowered.forward.storages.values() if "inputs" in storage.name}
    assert shapes == {(11, 3), (4, 2)}
    assert_same(before, optimized)


def test_a_table_that_a_sequence_pools_stays_alone() -> None:
    """A table that another operation reads cannot be merged, and a remark says so."""
    text = PLE.replace("tasks:", "  h: {kind: sequence, table: a, length: 2}\ntasks:")
    before = plain(text)
    optimized, result = after(before, shared_lookups)
    assert result.remarks == ("inputs.a.embed: its table is also read for a sequence",)
    assert_same(before, optimized)


def test_bfloat16_leaves_heads_alone() -> None:
    """Products of experts and gates are rounded, those of tower heads are not, and remarks name them."""
    _, result = after(plain(PLE), bfloat16_products)
    assert result.remarks == tuple(f"towers.{task}.head: the head of a tower stays in fp32" for task in ("one", "two"))
    assert len(result.rewrites) == 2 * 7 * 2 + 3 + 2 + 2


def test_large_tables_are_put_together_up_to_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are merged up to the cap; an input that shares a table uses the merged table that contains it."""
    module = sys.modules[shared_lookups.__module__]  # the package exports a function with the module's name
    monkeypatch.setattr(module, "MOST_ELEMENTS", 40)
    text = PLE.replace("tasks:", "  d: {kind: sparse, vocab: 4, dim: 3}\n  e: {kind: sparse, table: a}\ntasks:")
    before = plain(text)
    optimized, result = after(before, shared_lookups)
    assert result.rewrites == ("one lookup for 3 inputs of width 3",)
    shapes = sorted(s.shape for s in optimized.lowered.forward.storages.values() if "inputs" in s.name)
    assert shapes == [(4, 2), (4, 3), (11, 3)]
    assert_same(before, optimized)
