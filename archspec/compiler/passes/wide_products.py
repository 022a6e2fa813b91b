"""Merges linear operations on one input into a wide matmul: the first layers of experts, gates and feature gates."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from archspec.compiler.passes.result import PassResult
from archspec.program import Op, Program, Storage, Value
from archspec.program.program import merge, side_by_side

if TYPE_CHECKING:
    from collections.abc import Mapping


def wide_products(program: Program) -> PassResult:
    """Replaces `a = x A^T; b = x B^T` with `w = x [A; B]^T; a = w[:, :n]; b = w[:, n:]`.

    Operations with a bias that feed the same activation are merged together with it; each other combination of bias and
    activation gets its own matmul. Merging gates with experts would save a call, but prevent activations in place.

    >>> from archspec.compiler.passes.example import example
    >>> lines = "a = linear(x)", "b = linear(x)", "c = relu(a)", "d = relu(b)", "e = c + d"
    >>> print(wide_products(example(*lines, output="e")).program)
    x [B, 4] = column() key='x' source='batch'
    a~wide [B, 8] = linear(x; a.weight~wide, a.bias~wide)
    c~wide [B, 8] = activation(a~wide) fn='relu'
    c [B, 4] = slice(c~wide) start=0 stop=4
    d [B, 4] = slice(c~wide) start=4 stop=8
    e [B, 4] = sum(c, d)
    logits.y = e
    """
    activations = _activations(program)
    groups = [group for group in _groups(program, activations).values() if len(group) > 1]
    first = {group[0].output.name: group for group in groups}
    gone = {op.output.name for group in groups for op in group}
    gone |= {activations[name].output.name for name in gone if name in activations}
    storages = dict(program.storages)
    ops: list[Op] = []
    for op in program.ops:
        if op.output.name in first:
            ops += _wide(first[op.output.name], activations, storages)
        elif op.output.name not in gone:
            ops.append(op)
    rewrites = tuple(f"one product of {len(group)} on {group[0].inputs[0].name}" for group in groups)
    return PassResult(replace(program, ops=tuple(ops), storages=storages), rewrites)


def _activations(program: Program) -> dict[str, Op]:
    """Value -> its activation, if nothing else reads the value."""
    uses = program.uses()
    return {op.inputs[0].name: op for op in program.ops if op.kind == "activation" and uses[op.inputs[0].name] == 1}


def _groups(program: Program, activations: Mapping[str, Op]) -> dict[object, list[Op]]:
    """Groups of linear operations on rows or tokens that can be merged; those with shared weights cannot."""
    uses = Counter(name for op in program.ops for name in op.weights)
    groups: dict[object, list[Op]] = {}
    for op in program.ops:
        if op.kind == "linear" and op.inputs[0].has_columns and all(uses[name] == 1 for name in op.weights):
            activation = activations.get(op.output.name)
            stored = tuple(program.storages[name].group for name in op.weights)
            key = (op.inputs[0].name, stored, activation.attrs if activation else None)
            groups.setdefault(key, []).append(op)
    return groups


def _wide(members: list[Op], activations: Mapping[str, Op], storages: dict[str, Storage]) -> list[Op]:
    """The wide matmul, its activation, and slices for the members; merges their storages."""
    widths = list(dict.fromkeys(op.output.width for op in members))
    members = sorted(members, key=lambda op: widths.index(op.output.width))
    head, total = members[0], sum(op.output.width for op in members)
    shape = (*head.inputs[0].shape[:-1], total)
    places = zip(*(op.weights for op in members), strict=True)
    weights = tuple(merge(storages, names, side_by_side, "wide") for names in places)
    wide = Value(f"{head.output.name}~wide", shape)
    ops = [Op("linear", head.inputs, wide, weights, (), head.node)]
    activation = activations.get(head.output.name)
    if activation is not None:
        active = Value(f"{activation.output.name}~wide", shape)
        ops.append(replace(activation, inputs=(wide,), output=active))
        wide = active
    start = 0
    for op in members:
        stop = start + op.output.width
        output = activations[op.output.name].output if activation is not None else op.output
        ops.append(Op("slice", (wide,), output, (), (("start", start), ("stop", stop)), op.node))
        start = stop
    return ops
