"""Rounds the factors of matmuls to bfloat16; tables, norms, sums and the heads of towers are not changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.compiler.passes.result import PassResult
from archspec.program.operations import OPERATIONS

if TYPE_CHECKING:
    from archspec.program import Op, Program


def bfloat16_products(program: Program) -> PassResult:
    """Replaces `y = x W^T + b` with `y = bf16(x) bf16(W)^T + b`, except where W is the head of a tower.

    This applies to every operation that multiplies by weights; the table of operations lists them.

    >>> from archspec.compiler.passes.example import example
    >>> print(bfloat16_products(example("a = linear(x)", output="a")).program)
    x [B, 4] = column() key='x' source='batch'
    a [B, 4] = linear(x; a.weight, a.bias) precision='bf16'
    logits.y = a
    """
    ops, kept, changed = [], [], []
    for op in program.ops:
        if not OPERATIONS[op.kind].multiplies or op.attr("precision"):
            ops.append(op)
        elif _is_head(op, program):
            kept.append(f"{op.output.name}: the head of a tower stays in fp32")
            ops.append(op)
        else:
            changed.append(f"{op.output.name} in bfloat16")
            ops.append(replace(op, attrs=(*op.attrs, ("precision", "bf16"))))
    return PassResult(replace(program, ops=tuple(ops)), tuple(changed), tuple(kept))


def _is_head(op: Op, program: Program) -> bool:
    weights = (program.weights[slot.weight] for slot in program.storages[op.weights[0]].slots)
    return any(weight.role == "head" and weight.owner.section == "towers" for weight in weights)
