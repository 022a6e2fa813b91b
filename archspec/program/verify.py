"""What a legal program is. Passes are checked against it in tests; lowering always is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from archspec.program.operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archspec.program.program import Op, Program


def verify(program: Program, *, after: str = "lowering") -> Program:
    """The program itself, if it is legal.

    Raises:
        AssertionError: an illegal program: a defect of archspec; names the stage and each operation.
    """
    problems = [*_order(program), *(wrong for _, wrong in illegal(program)), *_storages(program)]
    if problems:
        raise AssertionError(f"illegal program after {after}:\n" + "\n".join(problems))
    return program


def illegal(program: Program) -> Iterator[tuple[Op, str]]:
    """The operations that are not legal, and why: a defect of archspec, or of the `lower` of the block's kind."""
    for op in program.ops:
        rule = OPERATIONS.get(op.kind)
        if rule is None:
            yield op, f"{op}: no operation `{op.kind}`"
        elif missing := [name for name in op.weights if name not in program.storages]:
            yield op, f"{op}: no storage {missing}"
        elif len(op.weights) not in rule.weights:
            yield op, f"{op}: {len(op.weights)} weights, not {rule.weights}"
        elif (shape := rule.shape(op, tuple(program.storages[name].shape for name in op.weights))) != op.output.shape:
            yield op, f"{op}: shape {op.output.shape}, its operands give {shape}"
        elif op.kind == "call" and op.attr("module") not in program.modules:
            yield op, f"{op}: no module `{op.attr('module')}`"


def _order(program: Program) -> Iterator[str]:
    known: set[str] = set()
    for op in program.ops:
        yield from (f"{op}: reads `{value.name}` before it is made" for value in op.inputs if value.name not in known)
        if op.output.name in known:
            yield f"{op}: makes `{op.output.name}` a second time"
        known.add(op.output.name)
    for output in program.outputs:
        if output.value.name not in known:
            yield f"output {output.section}.{output.name}: nothing makes `{output.value.name}`"


def _storages(program: Program) -> Iterator[str]:
    homes = Counter(slot.weight for storage in program.storages.values() for slot in storage.slots)
    yield from (f"storage of an unknown weight `{name}`" for name in homes if name not in program.weights)
    yield from (f"weight `{name}` lives in {homes[name]} places" for name in program.weights if homes[name] != 1)
