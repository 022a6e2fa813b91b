"""Programs that are broken at random: `verify` finds the break, or the program still computes the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.compiler.compile import build, instantiate
from archspec.graph.load import graph_of
from archspec.nn.measure import random_batch
from archspec.program import Op, Program, verify
from tests.compiler.models import spec_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

BUILT = [build(graph_of(spec_of(name)), optimize=optimize) for name in ("ple", "home") for optimize in (False, True)]


def outputs(number: int, program: Program) -> dict[str, Tensor]:
    """Logits and gate weights of a program on one batch; the model is in evaluation mode."""
    built = replace(BUILT[number], lowered=replace(BUILT[number].lowered, forward=program))
    model = instantiate(built, seed=0).double().eval()
    columns = [(key, c.dtype, c.shape, c.low, c.high) for key, c in built.lowered.columns.values()]
    batch = {name: x.double() if x.is_floating_point() else x for name, x in random_batch(columns, 6).items()}
    return {**model(batch), **model.gate_weights(batch)}


EXPECTED = [outputs(number, built.lowered.forward) for number, built in enumerate(BUILT)]


LEGAL_WITH_OTHERS = {"sum", "product"}
"""With an operand more or less they are legal, and another function: no pass makes that mistake by accident."""


@st.composite
def breaks(draw: st.DrawFn, program: Program) -> Program:
    """The program with one change of a kind that a faulty pass could make."""
    sort = draw(st.sampled_from(["order", "storage", *CHANGES]))
    place = draw(st.integers(0, len(program.ops) - 1))
    ops = list(program.ops)
    if sort == "order":
        other = draw(st.integers(0, len(ops) - 1))
        ops[place], ops[other] = ops[other], ops[place]
    elif sort == "storage":
        name = draw(st.sampled_from(sorted(program.storages)))
        storage = program.storages[name]
        slots = draw(st.sampled_from([storage.slots[1:], (*storage.slots, storage.slots[0])]))
        return replace(program, storages={**program.storages, name: replace(storage, slots=slots)})
    else:
        ops[place] = draw(CHANGES[sort](ops[place]))
    return replace(program, ops=tuple(ops))


def shapes(op: Op) -> st.SearchStrategy[Op]:
    """Other shapes for the result of the operation."""
    shape = op.output.shape
    return st.sampled_from([
        replace(op, output=replace(op.output, shape=other))
        for other in ((*shape[:-1], 7), (2, *shape), shape[:-1], ("B",), ())
    ])  # fmt: skip


def types(op: Op) -> st.SearchStrategy[Op]:
    """Other types for the result of the operation."""
    return st.sampled_from([replace(op, output=replace(op.output, dtype=dtype)) for dtype in ("float", "int", "bool")])


def operand(op: Op) -> st.SearchStrategy[Op]:
    """One operand read as something else than it is."""
    found = [op]
    for place, read in enumerate(op.inputs):
        others = (replace(read, shape=("B", 3)), replace(read, dtype="bool"), replace(read, name="none"))
        found += [replace(op, inputs=(*op.inputs[:place], other, *op.inputs[place + 1 :])) for other in others]
    return st.sampled_from(found)


def operands(op: Op) -> st.SearchStrategy[Op]:
    """Too few or too many operands."""
    if op.kind in LEGAL_WITH_OTHERS:
        return st.just(op)
    return st.sampled_from([replace(op, inputs=other) for other in ((), op.inputs[1:], (*op.inputs, *op.inputs[:1]))])


def weights(op: Op) -> st.SearchStrategy[Op]:
    """Weights that are missing, doubled or unknown."""
    others = ((), op.weights[1:], (*op.weights, *op.weights[:1]), ("none",))
    return st.sampled_from([replace(op, weights=other) for other in others])


def attributes(op: Op) -> st.SearchStrategy[Op]:
    """Attributes that are missing, unknown, doubled or of another type."""
    others: list[Any] = [(), op.attrs[1:], (*op.attrs, ("odd", 1)), (*op.attrs, *op.attrs)]
    return st.sampled_from([replace(op, attrs=other) for other in (*others, tuple((k, [v]) for k, v in op.attrs))])


CHANGES: dict[str, Callable[[Op], st.SearchStrategy[Op]]] = {
    "shape": shapes,
    "type": types,
    "operand": operand,
    "operands": operands,
    "weights": weights,
    "attributes": attributes,
    "kind": lambda op: st.just(replace(op, kind="guess")),
}


@settings(max_examples=150)
@given(st.data())
def test_a_broken_program_is_found_or_harmless(data: st.DataObject) -> None:
    """A program that `verify` accepts computes the same as before the change."""
    number = data.draw(st.integers(0, len(BUILT) - 1))
    program = data.draw(breaks(BUILT[number].lowered.forward))
    try:
        verify(program)
    except AssertionError:
        return
    torch.testing.assert_close(outputs(number, program), EXPECTED[number], rtol=0, atol=1e-12)
