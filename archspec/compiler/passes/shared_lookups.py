"""Embedding tables of the same width become one table with one lookup."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING

from archspec.compiler.passes.result import PassResult
from archspec.program import Op, Program, Storage, Value
from archspec.program.nodes import NodeName
from archspec.program.program import in_order, merge, side_by_side

if TYPE_CHECKING:
    from collections.abc import Container

MOST_ELEMENTS = 2**23
"""The most elements of a merged table with dense gradients: 32 MiB in fp32, the largest block that glibc reuses. The
memory for a larger gradient is mapped again in every step, which costs more than all lookups."""


INPUTS = NodeName("inputs")


def shared_lookups(program: Program) -> PassResult:
    """Replaces `a = A[i]; b = B[j]` with `w = [A; B][i, j + rows of A]`, rows concatenated, and slices of it.

    Several lookups in one table count as one table. A table that another operation also reads is not merged, and tables
    with dense gradients are merged up to 32 MiB.
    """
    others = Counter(name for op in program.ops for name in op.weights if not _is_lookup(op))
    groups: dict[object, list[Op]] = {}
    remarks = []
    for op in program.ops:
        if _is_lookup(op):
            if others[op.weights[0]]:
                remarks.append(f"{op.output.name}: its table is also read for a sequence")
            else:
                stored = program.storages[op.weights[0]].group
                groups.setdefault((op.output.width, bool(op.attr("sparse")), stored), []).append(op)
    storages = dict(program.storages)
    parts = [part for group in groups.values() for part in _capped(group, program)]
    last = {part[-1].output.name: part for part in parts if len(part) > 1}
    fused = {op.output.name for group in last.values() for op in group}
    keys = {op.output.name: str(op.attr("key")) for op in program.ops if _is_ids(op)}
    together = [op.inputs[0].name for part in last.values() if _are_read(part, keys) for op in part]
    ids = [*together, *(name for name in keys if name not in together)] if together else []
    rows = Value("inputs~ids", (len(ids), "B"), "int")
    attrs = (("keys", tuple(keys[name] for name in ids)),)
    ops = [Op("ids", (), rows, (), attrs, INPUTS)] if ids else []
    hints = {**program.hints, rows.name: "ids"}
    for op in program.ops:
        if op.output.name in last:
            part = last[op.output.name]
            taken = _taken(part, ids, rows)
            lookup = _lookup(part, taken[-1].output if taken else rows, storages)
            ops += [*taken, *lookup]
            hints[lookup[0].output.name] = "offsets"
            hints.update((op.output.name, "ids") for op in taken)
        elif op.output.name not in fused:
            ops.append(op)
    rewrites = tuple(f"one lookup for {len(part)} inputs of width {part[0].output.width}" for part in last.values())
    return PassResult(
        replace(program, ops=in_order(ops, program.waits()), storages=storages, hints=hints), rewrites, tuple(remarks)
    )


def _is_lookup(op: Op) -> bool:
    """Whether it looks up one id per row; lists of ids are not merged here."""
    return op.kind == "embed" and op.inputs[0].shape == ("B",)


def _is_ids(op: Op) -> bool:
    return op.kind == "column" and op.output.dtype == "int" and op.output.shape == ("B",)


def _are_read(part: list[Op], keys: Container[str]) -> bool:
    """Whether all ids of a part are columns of the batch."""
    return all(op.inputs[0].name in keys for op in part)


def _taken(part: list[Op], ids: list[str], rows: Value) -> list[Op]:
    """The operations that take a part's ids `[N, B]` out of all ids, or stack computed ids; none if it has all."""
    values = tuple(op.inputs[0] for op in part)
    names = [value.name for value in values]
    output = Value(f"{part[0].output.name}~ids", (len(values), "B"), "int")
    if names == ids:
        return []
    start = next((i for i in range(len(ids)) if ids[i : i + len(names)] == names), None)
    if start is None:
        return [Op("stack", values, output, (), (), part[0].node)]
    return [Op("members", (rows,), output, (), (("start", start), ("stop", start + len(names))), INPUTS)]


def _capped(group: list[Op], program: Program) -> list[list[Op]]:
    """Splits a group so that the tables of each part are small enough together; sparse gradients have no limit."""
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


def _lookup(members: list[Op], ids: Value, storages: dict[str, Storage]) -> list[Op]:
    tables = list(dict.fromkeys(op.weights[0] for op in members))
    rows = [storages[name].shape[0] for name in tables]
    offsets = dict(zip(tables, [0, *accumulate(rows)], strict=False))
    table = merge(storages, tables, side_by_side, "tables")
    width = members[0].output.width
    wide = Value(f"{members[0].output.name}~lookup", ("B", width * len(members)))
    shift = Value(f"{members[0].output.name}~offsets", (len(members), 1), "int")
    data = tuple((offsets[op.weights[0]],) for op in members)
    node = members[0].node
    ops = [
        Op("constant", (), shift, (), (("data", data),), INPUTS),
        Op("lookup_tables", (shift, ids), wide, (table,), (("sparse", bool(members[0].attr("sparse"))),), node),
    ]
    for index, op in enumerate(members):
        ops.append(
            Op("slice", (wide,), op.output, (), (("start", index * width), ("stop", (index + 1) * width)), op.node)
        )
    return ops
