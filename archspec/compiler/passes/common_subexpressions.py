"""Computes equal expressions once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.compiler.passes.result import PassResult

if TYPE_CHECKING:
    from archspec.program import Op, Program, Value

RANDOM = frozenset({"dropout", "batch_norm", "dice", "apply", "call"})
"""Operations that may draw random numbers or keep state, and are therefore never merged."""


def common_subexpressions(program: Program) -> PassResult:
    """Replaces `a = f(x); b = f(x)` with `a = f(x)`, and reads of b with reads of a.

    >>> from archspec.compiler.passes.example import example
    >>> print(common_subexpressions(example("a = relu(x)", "b = relu(x)", "c = a + b", output="c")).program)
    x [B, 4] = column() key='x' source='batch'
    a [B, 4] = activation(x) fn='relu'
    c [B, 4] = sum(a, a)
    logits.y = c
    """
    first: dict[object, Value] = {}
    renamed: dict[str, Value] = {}
    ops: list[Op] = []
    for old in program.ops:
        op = replace(old, inputs=tuple(renamed.get(value.name, value) for value in old.inputs))
        key = (op.kind, op.inputs, op.weights, op.attrs, op.output.shape, op.output.dtype)
        if op.kind not in RANDOM and key in first:
            renamed[op.output.name] = first[key]
        else:
            first[key] = op.output
            ops.append(op)
    outputs = tuple(replace(out, value=renamed.get(out.value.name, out.value)) for out in program.outputs)
    rewrites = tuple(f"{name} is {value.name}" for name, value in renamed.items())
    return PassResult(replace(program, ops=tuple(ops), outputs=outputs), rewrites)
