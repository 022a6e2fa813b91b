"""The check of a legal program: it accepts what lowering makes, and names what is wrong with anything else."""

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
    "order": (replace(PLE, ops=PLE.ops[::-1]), "before it is made"),
    "twice": (replace(PLE, ops=(*PLE.ops, PLE.ops[0])), "a second time"),
    "no such operation": (changed(PLE, "linear", lambda op: replace(op, kind="guess")), "no operation `guess`"),
    "width": (
        changed(PLE, "linear", lambda op: replace(op, output=replace(op.output, shape=("B", 7)))),
        r"shape \('B', 7\), its operands give",
    ),
    "weights": (changed(PLE, "linear", lambda op: replace(op, weights=())), "0 weights, not"),
    "storage": (changed(PLE, "linear", lambda op: replace(op, weights=("none",))), "no storage"),
    "output": (replace(PLE, outputs=(Output("logits", "y", Value("none", ("B",))),)), "nothing makes `none`"),
    "home": (replace(PLE, storages=dict(list(PLE.storages.items())[1:])), "lives in 0 places"),
}


@pytest.mark.parametrize("name", NAMES)
def test_lowering_makes_legal_programs(name: str) -> None:
    """Forward and predict programs of every spec are legal."""
    lowered = lower(graph_of(spec_of(name)))
    assert verify(lowered.forward) is lowered.forward
    assert verify(lowered.predict) is lowered.predict


@pytest.mark.parametrize("what", BROKEN)
def test_an_illegal_program_is_named(what: str) -> None:
    """Each rule is checked, and the message says after which stage and at which operation it was broken."""
    program, message = BROKEN[what]
    with pytest.raises(AssertionError, match=message) as error:
        verify(program, after="some_pass")
    assert "illegal program after some_pass" in str(error.value)


def test_a_program_prints_one_operation_a_line() -> None:
    """The text of a program: every operation with its shape, then what is given back."""
    lines = str(PLE).splitlines()
    assert len(lines) == len(PLE.ops) + len(PLE.outputs)
    assert lines[0].startswith("inputs.user.column [B] = column()")
    assert lines[-1].startswith(("logits.", "gates."))
