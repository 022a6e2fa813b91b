"""Marks activations that may overwrite their operand, which saves a block of memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archspec.program import Program

FUNCTIONS = frozenset({"relu"})
"""Activations whose gradient torch computes from their result, not from their operand."""
ON_TOKENS = FUNCTIONS | {"sigmoid", "tanh"}
"""The same for tokens `[B, T, W]`, which are so large that a second block of memory costs a quarter more time."""


def in_place(program: Program) -> Program:
    """The program with `in_place` set on each activation of a matmul whose result nothing else reads.

    The gradient of a matmul needs its factors, not its result, so the result may be overwritten.
    """
    producers, uses = program.producers(), program.uses()
    ops = []
    for op in program.ops:
        fresh = (
            op.kind == "activation"
            and op.attr("fn") in (ON_TOKENS if op.output.is_tokens else FUNCTIONS)
            and producers[op.inputs[0].name].kind in {"linear", "linear_pair"}
            and uses[op.inputs[0].name] == 1
        )
        ops.append(replace(op, attrs=(*op.attrs, ("in_place", True))) if fresh else op)
    return replace(program, ops=tuple(ops))
