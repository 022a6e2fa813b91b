"""Embedding tables of one width become one table, looked up once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import accumulate
from math import prod

from archspec.compiler.passes.result import PassResult
from archspec.program import Op, Program, Storage, Value
from archspec.program.program import in_order, side_by_side

MOST_ELEMENTS = 2**23
"""Elements of one table with dense gradients: 32 MiB in fp32, the largest block that glibc reuses. The gradient of a
larger one is mapped afresh in every step, which costs more than all lookups."""


def shared_lookups(program: Program) -> PassResult:
    """Replaces `a = A[i]; b = B[j]` with `w = [A; B][i, j + rows of A]`, rows side by side, and slices of it.

    Several lookups in one table count as one table. A table that another operation reads too stays alone, and tables
    with dense gradients are put together up to 32 MiB.
    """
    uses = Counter(name for op in program.ops for name in op.weights if op.kind != "embed")
    groups: dict[tuple[int, bool], list[Op]] = {}
    misses = []
    for op in program.ops:
        if op.kind == "embed" and op.inputs[0].shape == ("B",):
            if uses[op.weights[0]]:
                misses.append(f"{op.output.name}: its table is pooled over a sequence too")
            else:
                groups.setdefault((op.output.width, bool(op.attr("sparse"))), []).append(op)
    storages = dict(program.storages)
    parts = [part for group in groups.values() for part in _capped(group, program)]
    last = {part[-1].output.name: part for part in parts if len(part) > 1}
    fused = {op.output.name for group in last.values() for op in group}
    ops: list[Op] = []
    for op in program.ops:
        if op.output.name in last:
            ops += _lookup(last[op.output.name], storages)
        elif op.output.name not in fused:
            ops.append(op)
    rewrites = tuple(f"one lookup for {len(part)} inputs of width {part[0].output.width}" for part in last.values())
    return PassResult(replace(program, ops=in_order(ops), storages=storages), rewrites, tuple(misses))


def _capped(group: list[Op], program: Program) -> list[list[Op]]:
    """The group in parts whose tables stay small enough together; all of it where gradients are sparse."""
    part_of: dict[str, int] = {}
    part = size = 0
    for op in group:
        if op.weights[0] in part_of:
            continue
        elements = prod(program.storages[op.weights[0]].shape)
        if part_of and size + elements > MOST_ELEMENTS and not op.attr("sparse"):
            part, size = part + 1, 0
        part_of[op.weights[0]] = part
        size += elements
    return [[op for op in group if part_of[op.weights[0]] == number] for number in range(part + 1)]


def _lookup(members: list[Op], storages: dict[str, Storage]) -> list[Op]:
    tables = list(dict.fromkeys(op.weights[0] for op in members))
    rows = [storages[name].shape[0] for name in tables]
    offsets = dict(zip(tables, [0, *accumulate(rows)], strict=False))
    table = side_by_side(f"{tables[0]}~tables", [storages.pop(name) for name in tables])
    storages[table.name] = table
    width = members[0].output.width
    wide = Value(f"{members[0].output.name}~lookup", ("B", width * len(members)))
    shift = Value(f"{members[0].output.name}~offsets", (1, len(members)), "int")
    data = (tuple(offsets[op.weights[0]] for op in members),)
    node, ids = members[0].node, tuple(op.inputs[0] for op in members)
    ops = [
        Op("constant", (), shift, (), (("data", data),), node),
        Op("lookup_tables", (shift, *ids), wide, (table.name,), (("sparse", bool(members[0].attr("sparse"))),), node),
    ]
    for index, op in enumerate(members):
        ops.append(
            Op("slice", (wide,), op.output, (), (("start", index * width), ("stop", (index + 1) * width)), op.node)
        )
    return ops
