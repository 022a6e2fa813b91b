"""Removes operations whose value nothing reads, and the weights that only they used."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.compiler.passes.result import PassResult

if TYPE_CHECKING:
    from archspec.program import Program


def dead_operations(program: Program) -> PassResult:
    """Removes `y = f(x)` if no operation and no output reads y.

    >>> from archspec.compiler.passes.example import example
    >>> print(example("b = relu(x)", "c = tanh(x)", output="c"))
    x [B, 4] = column() key='x' source='batch'
    b [B, 4] = activation(x) fn='relu'
    c [B, 4] = activation(x) fn='tanh'
    logits.y = c
    >>> print(dead_operations(example("b = relu(x)", "c = tanh(x)", output="c")).program)
    x [B, 4] = column() key='x' source='batch'
    c [B, 4] = activation(x) fn='tanh'
    logits.y = c
    """
    needed = program.needed(program.outputs)
    ops = tuple(op for op in program.ops if op.output.name in needed)
    used = program.read_storages(ops)
    storages = {name: storage for name, storage in program.storages.items() if name in used or storage.idle}
    alive = {slot.weight for storage in storages.values() for slot in storage.slots}
    called = {op.attr("module") for op in ops if op.kind == "call"}
    dropped = [op.output.name for op in program.ops if op.output.name not in needed]
    smaller = replace(
        program,
        ops=ops,
        storages=storages,
        weights={name: weight for name, weight in program.weights.items() if name in alive},
        modules={name: module for name, module in program.modules.items() if name in called},
    )
    return PassResult(smaller, tuple(f"dropped {name}" for name in dropped))
