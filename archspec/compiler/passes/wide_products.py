"""Linear operations on one input become one wide product: first layers of experts, gates and feature gates alike."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from archspec.compiler.passes.result import PassResult
from archspec.program import Op, Program, Storage, Value
from archspec.program.program import side_by_side


def wide_products(program: Program) -> PassResult:
    """Replaces `a = x A^T; b = x B^T` with `w = x [A; B]^T; a = w[:, :n]; b = w[:, n:]`.

    Those with a bias come first; the others have none in the wide product either.

    >>> from archspec.compiler.passes.example import example
    >>> print(wide_products(example("a = linear(x)", "b = linear(x)", "c = a + b", output="c")).program)
    x [B, 4] = column() key='x' source='batch'
    a~wide [B, 8] = linear(x; a.weight~wide, a.bias~wide) unbiased=0
    a [B, 4] = slice(a~wide) start=0 stop=4
    b [B, 4] = slice(a~wide) start=4 stop=8
    c [B, 4] = sum(a, b)
    logits.y = c
    """
    groups = _groups(program)
    first = {ops[0].output.name: ops for ops in groups.values() if len(ops) > 1}
    fused = {op.output.name for ops in first.values() for op in ops}
    storages = dict(program.storages)
    ops: list[Op] = []
    for op in program.ops:
        if op.output.name in first:
            ops += _wide(first[op.output.name], storages)
        elif op.output.name not in fused:
            ops.append(op)
    rewrites = tuple(f"one product of {len(group)} on {group[0].inputs[0].name}" for group in first.values())
    return PassResult(replace(program, ops=tuple(ops), storages=storages), rewrites)


def _groups(program: Program) -> dict[str, list[Op]]:
    """Linear operations on rows `[B, D]` by their input; those whose weights others use too stay alone."""
    uses = Counter(name for op in program.ops for name in op.weights)
    groups: dict[str, list[Op]] = {}
    for op in program.ops:
        if op.kind == "linear" and len(op.inputs[0].shape) == 2 and all(uses[name] == 1 for name in op.weights):  # noqa: PLR2004 - [B, D]
            groups.setdefault(op.inputs[0].name, []).append(op)
    return groups


def _wide(members: list[Op], storages: dict[str, Storage]) -> list[Op]:
    """The wide product and the slices that the members were; their storages become one."""
    widths = list(dict.fromkeys(op.output.width for op in members))
    members = sorted(members, key=lambda op: (len(op.weights) == 1, widths.index(op.output.width)))
    head, total = members[0], sum(op.output.width for op in members)
    unbiased = sum(op.output.width for op in members if len(op.weights) == 1)
    weights = [side_by_side(f"{head.weights[0]}~wide", [storages.pop(op.weights[0]) for op in members])]
    if biases := [storages.pop(op.weights[1]) for op in members if len(op.weights) > 1]:
        weights.append(side_by_side(f"{head.weights[1]}~wide", biases))
    storages.update((storage.name, storage) for storage in weights)
    wide = Value(f"{head.output.name}~wide", ("B", total))
    names = tuple(storage.name for storage in weights)
    attrs = (("unbiased", unbiased if biases else 0),)
    ops = [Op("linear", head.inputs, wide, names, attrs, head.node)]
    start = 0
    for op in members:
        stop = start + op.output.width
        ops.append(Op("slice", (wide,), op.output, (), (("start", start), ("stop", stop)), op.node))
        start = stop
    return ops
