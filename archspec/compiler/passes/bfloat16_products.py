"""Rounds the factors of matmuls to bfloat16; tables, norms, sums and the heads of towers are not changed.

What only such products read, through activations and moves, stays in bfloat16 on the way: they would round it anyway.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from archspec.compiler.passes.result import PassResult
from archspec.program.operations import OPERATIONS

if TYPE_CHECKING:
    from archspec.program import Op, Program

PASSED_ON: Final = frozenset(
    "activation dropout slice concat unflatten flatten fold unfold join members member squeeze".split()  # noqa: SIM905 - names read best as words
)
"""Operations that compute in the type of their operands and neither sum nor read weights."""


def bfloat16_products(program: Program) -> PassResult:
    """Replaces `y = x W^T + b` with `y = bf16(x) bf16(W)^T + b`, except where W is the head of a tower.

    This applies to every operation that multiplies by weights; the table of operations lists them.

    >>> from archspec.compiler.passes.example import example
    >>> print(bfloat16_products(example("a = linear(x)", output="a")).program)
    x [B, 4] = column() key='x' source='batch'
    a [B, 4] = linear(x; a.weight, a.bias) precision='bf16'
    logits.y = a
    """
    rounded = _factors_rounded(program)
    stays = _only_for_products(rounded.program)
    ops = [
        replace(op, attrs=(*op.attrs, ("rounded", True))) if op.output.name in stays and not op.attr("rounded") else op
        for op in rounded.program.ops
    ]
    return replace(rounded, program=replace(rounded.program, ops=tuple(ops)))


def _factors_rounded(program: Program) -> PassResult:
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


def _only_for_products(program: Program) -> set[str]:
    """The products in bfloat16 whose results reach only products in bfloat16; those have biases in the model's type."""
    readers: dict[str, list[Op]] = {}
    for op in program.ops:
        for value in op.inputs:
            readers.setdefault(value.name, []).append(op)
    outputs = {out.value.name for out in program.outputs}
    products = {op.output.name for op in program.ops if op.kind == "linear" and op.attr("precision") == "bf16"}
    biased = {op.output.name for op in program.ops if op.output.name in products and len(op.weights) > 1}
    narrow = products | {op.output.name for op in program.ops if op.kind in PASSED_ON}
    before = None
    while narrow != before:
        before = narrow
        narrow = {
            op.output.name
            for op in program.ops
            if op.output.name in narrow - outputs
            and (op.output.name in products or all(value.name in narrow for value in op.inputs))
            and all(
                reader.output.name in (biased if reader.output.name in products else narrow)
                for reader in readers.get(op.output.name, ())
            )
        }
    return narrow & products
