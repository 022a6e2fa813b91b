"""`verify` accepts lowered programs and reports the mistake in any other program."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from archspec.compiler.lower import lower
from archspec.graph.load import graph_of
from archspec.program import Op, Output, Program, Value, verify
from tests.compiler.models import NAMES, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable

PLE = lower(graph_of(spec_of("ple"))).forward


def changed(program: Program, kind: str, change: Callable[[Op], Op]) -> Program:
    """The program with its first operation of a kind changed."""
    index = next(index for index, op in enumerate(program.ops) if op.kind == kind)
    return replace(program, ops=(*program.ops[:index], change(program.ops[index]), *program.ops[index + 1 :]))


BROKEN: dict[str, tuple[Program, str]] = {
    "order": (replace(PLE, ops=PLE.ops[::-1]), "before it is produced"),
    "twice": (replace(PLE, ops=(*PLE.ops, PLE.ops[0])), "a second time"),
    "no such operation": (changed(PLE, "linear", lambda op: replace(op, kind="guess")), "no operation `guess`"),
    "width": (
        changed(PLE, "linear", lambda op: replace(op, output=replace(op.output, shape=("B", 7)))),
        r"it has shape \('B', 7\), but its operands result in",
    ),
    "weights": (changed(PLE, "linear", lambda op: replace(op, weights=())), "0 weights, not"),
    "storage": (changed(PLE, "linear", lambda op: replace(op, weights=("none",))), "no storage"),
    "unknown weight": (
        changed(PLE, "linear", lambda op: Op("weight", (), op.output, (), (("weight", "none"),))),
        "no weight `none`",
    ),
    "weight of another shape": (
        changed(PLE, "linear", lambda op: Op("weight", (), op.output, (), (("weight", op.weights[0]),))),
        "the weight has",
    ),
    "output": (replace(PLE, outputs=(Output("logits", "y", Value("none", ("B",))),)), "nothing produces `none`"),
    "operands": (changed(PLE, "activation", lambda op: replace(op, inputs=op.inputs * 2)), "2 operands, not 1"),
    "no operands": (changed(PLE, "concat", lambda op: replace(op, inputs=())), "0 operands, not 2 or more"),
    "function": (
        changed(PLE, "activation", lambda op: replace(op, attrs=(("fn", "guess"),))),
        "`fn` cannot be 'guess'",
    ),
    "no function": (changed(PLE, "activation", lambda op: replace(op, attrs=())), "no attribute `fn`"),
    "unknown attribute": (
        changed(PLE, "softmax", lambda op: replace(op, attrs=(("k", 1),))),
        "unknown attribute `k`",
    ),
    "another shape of an operand": (
        changed(PLE, "softmax", lambda op: replace(op, inputs=(replace(op.inputs[0], shape=("B", 9)),))),
        r"as float \[B, 9\], but it is float \[B, 5\]",
    ),
    "type": (
        changed(PLE, "pool", lambda op: replace(op, inputs=(replace(op.inputs[0], dtype="float"),))),
        "is float, not int",
    ),
    "type of the result": (
        changed(PLE, "softmax", lambda op: replace(op, output=replace(op.output, dtype="int"))),
        "returns float, not int",
    ),
    "another shape of an output": (
        replace(PLE, outputs=(replace(PLE.outputs[0], value=replace(PLE.outputs[0].value, shape=("B", 2))),)),
        r"output gates.*: is float \[B, 5\], not float \[B, 2\]",
    ),
    "two places": (
        replace(PLE, storages={**PLE.storages, "other": replace(next(iter(PLE.storages.values())), name="other")}),
        "is in 2 places",
    ),
    "another shape of a place": (
        replace(
            PLE,
            storages={name: replace(storage, shape=(3, *storage.shape[1:])) for name, storage in PLE.storages.items()},
        ),
        r"is \(2000, 16\), but its place in `inputs.user.weight` is \(3, 16\)",
    ),
    "no place": (replace(PLE, storages=dict(list(PLE.storages.items())[1:])), "is in 0 places"),
}


@pytest.mark.parametrize("name", NAMES)
def test_lowering_makes_legal_programs(name: str) -> None:
    """Forward and predict programs of every spec are legal."""
    lowered = lower(graph_of(spec_of(name)))
    assert verify(lowered.forward) is lowered.forward
    assert verify(lowered.predict) is lowered.predict


@pytest.mark.parametrize("what", BROKEN)
def test_an_illegal_program_is_named(what: str) -> None:
    """Each rule is checked; the message names the stage after which and the operation at which it was broken."""
    program, message = BROKEN[what]
    with pytest.raises(AssertionError, match=message) as error:
        verify(program, after="some_pass")
    assert "illegal program after some_pass" in str(error.value)


def test_a_program_prints_one_operation_a_line() -> None:
    """The printed program has one line per operation with its shape, then one per result."""
    lines = str(PLE).splitlines()
    assert len(lines) == len(PLE.ops) + len(PLE.outputs)
    assert lines[0].startswith("inputs.user.column [B] = column()")
    assert lines[-1].startswith(("logits.", "gates."))


@pytest.mark.parametrize("name", ["weights", "storages", "modules", "hints"])
def test_a_program_cannot_be_changed(name: str) -> None:
    """Its mappings are read-only copies: changing the mapping it was created from does not affect it."""
    with pytest.raises(TypeError):
        getattr(PLE, name)["new"] = None
    mine = dict(getattr(PLE, name))
    made = replace(PLE, **{name: mine})  # type: ignore[arg-type] # one field of four
    mine.clear()
    assert getattr(made, name) == getattr(PLE, name)


@pytest.mark.parametrize(
    ("shape", "sorts", "features"),
    [
        (("B",), set(), ()),
        (("B", 4), {"is_rows", "has_columns"}, (4,)),
        (("B", 3, 4), {"has_columns"}, (3, 4)),
        ((2, "B"), {"is_stack"}, ()),
        ((2, "B", 4), {"is_stack"}, (4,)),
        ((2, "B", 3, 4), {"is_stack"}, (3, 4)),
        ((4,), set(), (4,)),
    ],
)
def test_a_value_knows_what_it_is(shape: tuple[int | str, ...], sorts: set[str], features: tuple[int, ...]) -> None:
    """The position of the batch axis distinguishes rows, tokens, numbers and stacks."""
    value = Value("x", shape)
    assert {name for name in ("is_stack", "is_rows", "has_columns") if getattr(value, name)} == sorts
    assert value.features == features
