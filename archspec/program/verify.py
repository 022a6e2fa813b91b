"""Checks that a program is legal: always after lowering and after every pass."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from archspec.program.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.program.operations import Operation
    from archspec.program.program import Op, Program, Slot, Storage, Value


def verify(program: Program, *, after: str = "lowering") -> Program:
    """Returns the program itself, if it is legal.

    Raises:
        AssertionError: the program is illegal, which is a bug in archspec; the message has the stage and each problem.
    """
    problems = [*_order(program), *(wrong for _, wrong in illegal(program)), *_storages(program)]
    if problems:
        raise AssertionError(f"illegal program after {after}:\n" + "\n".join(problems))
    return program


def illegal(program: Program) -> Iterator[tuple[Op, str]]:
    """The illegal operations, and why they are: a bug in archspec, or in the `lower` of the block's kind."""
    for op in program.ops:
        if problem := _problem(op, program):
            yield op, f"{op}: {problem}"


def _problem(op: Op, program: Program) -> str:
    """The first problem of an operation by itself; empty if it is legal."""
    rule = OPERATIONS.get(op.kind)
    if rule is None:
        return f"there is no operation `{op.kind}`"
    least, most = rule.operands
    if len(op.inputs) < least or (most is not None and len(op.inputs) > most):
        return f"{len(op.inputs)} operands, not {_counts(least, most)}"
    return _weights(op, rule, program) or _attributes(op, rule) or _types(op, rule) or _shape(op, rule, program)


def _weights(op: Op, rule: Operation, program: Program) -> str:
    if missing := [name for name in op.weights if name not in program.storages]:
        return f"no storage {missing}"
    if op.kind == "call" and op.attr("module") not in program.modules:
        return f"no module `{op.attr('module')}`"
    if op.kind == "weight":
        weight = program.weights.get(op.attr("weight"))
        if weight is None or weight.shape != op.output.shape:
            return (
                f"it has shape {op.output.shape}, but the weight has {weight.shape}"
                if weight
                else f"no weight `{op.attr('weight')}`"
            )
    return "" if len(op.weights) in rule.weights else f"{len(op.weights)} weights, not {rule.weights}"


def _shape(op: Op, rule: Operation, program: Program) -> str:
    try:
        shape = rule.shape(op, tuple(program.storages[name].shape for name in op.weights))
    except (AssertionError, IndexError, TypeError, ValueError):  # the rule unpacks axes that do not exist
        return f"its operands cannot result in {op.output.shape}"
    return "" if shape == op.output.shape else f"it has shape {op.output.shape}, but its operands result in {shape}"


def _counts(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def _attributes(op: Op, rule: Operation) -> str:
    known = {**rule.required, **rule.optional}
    found = dict(op.attrs)
    if len(found) < len(op.attrs):
        return "it has an attribute twice"
    if missing := [name for name in rule.required if name not in found]:
        return f"it has no attribute `{missing[0]}`"
    for name, value in found.items():
        if name not in known:
            return f"unknown attribute `{name}`"
        if not known[name](value):
            return f"attribute `{name}` cannot be {value!r}"
    return ""


def _types(op: Op, rule: Operation) -> str:
    for place, value in enumerate(op.inputs):
        wanted = rule.reads[min(place, len(rule.reads) - 1)]
        if wanted not in {"any", value.dtype}:
            return f"`{value.name}` is {value.dtype}, not {wanted}"
    given = op.inputs[-1].dtype if rule.gives == "same" else rule.gives
    if rule.gives == "same" and rule.reads == ("any",) and len({value.dtype for value in op.inputs}) > 1:
        return "its operands have different types"
    return "" if given in {"any", op.output.dtype} else f"it returns {given}, not {op.output.dtype}"


def _order(program: Program) -> Iterator[str]:
    """Checks that every value is produced once, before it is read, and read with its own shape and type."""
    known: dict[str, Value] = {}
    for op in program.ops:
        for value in op.inputs:
            if value.name not in known:
                yield f"{op}: reads `{value.name}` before it is produced"
            elif value != known[value.name]:
                yield f"{op}: reads `{value.name}` as {_of(value)}, but it is {_of(known[value.name])}"
        if op.output.name in known:
            yield f"{op}: produces `{op.output.name}` a second time"
        known[op.output.name] = op.output
    for output in program.outputs:
        name = f"output {output.section}.{output.name}"
        if output.value.name not in known:
            yield f"{name}: nothing produces `{output.value.name}`"
        elif output.value != known[output.value.name]:
            yield f"{name}: is {_of(known[output.value.name])}, not {_of(output.value)}"


def _of(value: Value) -> str:
    return f"{value.dtype} [{', '.join(map(str, value.shape))}]"


def _storages(program: Program) -> Iterator[str]:
    """Checks that every weight is in exactly one place, which has the weight's shape."""
    places = Counter(slot.weight for storage in program.storages.values() for slot in storage.slots)
    yield from (f"storage of an unknown weight `{name}`" for name in places if name not in program.weights)
    yield from (f"weight `{name}` is in {places[name]} places" for name in program.weights if places[name] != 1)
    for name, storage in program.storages.items():
        if name != storage.name:
            yield f"storage `{storage.name}` has the key `{name}`"
        for slot in storage.slots:
            weight = program.weights.get(slot.weight)
            if weight is not None and region(slot, storage) != weight.shape:
                yield f"weight `{slot.weight}` is {weight.shape}, but its place in `{name}` is {region(slot, storage)}"


def region(slot: Slot, storage: Storage) -> tuple[int, ...]:
    """The shape of the weight in a slot of a storage; `()` if the slot is outside of it."""
    sizes: list[int] = []
    for axis, size in enumerate(storage.shape):
        part = slot.index[axis] if axis < len(slot.index) else (0, size)
        start, stop = part if isinstance(part, tuple) else (part, part + 1)
        if not 0 <= start < stop <= size:
            return ()
        if isinstance(part, tuple):
            sizes.append(stop - start)
    return tuple(reversed(sizes)) if slot.transposed else tuple(sizes)
