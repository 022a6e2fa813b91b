"""Stores the matrices of matmuls as `[D, H]`, as those of stacks are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.compiler.passes.result import PassResult
from archspec.program.program import transposed

if TYPE_CHECKING:
    from archspec.program import Op, Program


def transposed_weights(program: Program) -> PassResult:
    r"""Replaces `y = x W^T` by the same with a stored `W^T`, if only such operations read W.

    >>> from archspec.compiler.passes.example import example
    >>> after = transposed_weights(example("a = linear(x)", output="a")).program
    >>> print(after, *(storage.shape for storage in after.storages.values()), sep="\n")
    x [B, 4] = column() key='x' source='batch'
    a [B, 4] = linear(x; a.weight, a.bias) transposed=True
    logits.y = a
    (4, 4)
    (4,)
    """
    matrices = {op.weights[0] for op in program.ops if _multiplies_rows(op)}
    moved = matrices - {name for op in program.ops if not _multiplies_rows(op) for name in op.weights}
    ops = tuple(
        replace(op, attrs=(*op.attrs, ("transposed", True))) if op.weights and op.weights[0] in moved else op
        for op in program.ops
    )
    storages = {name: transposed(each) if name in moved else each for name, each in program.storages.items()}
    return PassResult(
        replace(program, ops=ops, storages=storages), tuple(f"{name} as [D, H]" for name in sorted(moved))
    )


def _multiplies_rows(op: Op) -> bool:
    """Whether it multiplies rows or tokens by a matrix `[H, D]`; in bfloat16, oneDNN has layouts of its own."""
    return op.kind == "linear" and not (op.inputs[0].is_stack or op.attr("transposed") or op.attr("precision"))
