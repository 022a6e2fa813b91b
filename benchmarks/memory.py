"""Counts the bytes that a pass allocates and moves, and the fresh pages that it faults in."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import torch
from torch.utils._pytree import tree_leaves

from benchmarks import fresh
from benchmarks.contenders import ARCHSPEC, BUILDERS, SIZES
from benchmarks.operations import Watch
from benchmarks.report import Bar, Section, quick, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_ROWS = (256, 2048)
_WARM_UP, _PASSES = 5, 10
_MIB = 2**20
_SECONDS = 300
_IN_A_FRESH_PROCESS = """
import json, sys
from benchmarks.memory import faulted
name, size, rows, training = sys.argv[1:]
print(json.dumps(faulted(name, int(size), int(rows), training=training == "True")))
"""


def _tensors(values: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor)]


def count(run: Callable[[], object]) -> tuple[int, int]:
    """The bytes that one call allocates, and those that its operations read and write.

    An operation counts each of its inputs once and as a whole: a lookup counts the table, not the rows that it reads.
    Views do not count, and neither does what an operation allocates for itself.
    """
    allocated = moved = 0

    def seen(func: torch._ops.OpOverload, inputs: object, result: object) -> None:
        nonlocal allocated, moved
        if func.is_view:
            return
        read, written = _tensors(inputs), _tensors(result)
        known = {tensor.untyped_storage().data_ptr() for tensor in read}
        new = [tensor for tensor in written if tensor.untyped_storage().data_ptr() not in known]
        allocated += sum(tensor.untyped_storage().nbytes() for tensor in new)
        moved += sum(tensor.nbytes for tensor in (*read, *written))

    with Watch(seen):
        run()
    return allocated, moved


def _pass(name: str, size: int, rows: int, *, training: bool) -> Callable[[], object]:
    ids, labels = SIZES[size].draw(rows)
    contender = BUILDERS[name](SIZES[size])
    if training:
        return contender.step(ids, labels)
    return torch.no_grad()(contender.forward(ids))


def faulted(name: str, size: int, rows: int, *, training: bool) -> float:
    """Bytes of pages that each pass faults in after a warm-up. What ran before in this process changes the number."""
    run = _pass(name, size, rows, training=training)
    for _ in range(_WARM_UP):
        run()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(_PASSES):
        run()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return faults * resource.getpagesize() / _PASSES


def section(*, short: bool = False) -> Section:
    """Every size of the grid, inference and training step; with `short` only the larger batch."""
    rows = _ROWS[-1:] if short else _ROWS
    lines, worst = [], 0.0
    for size, number, training, name in (
        (size, number, training, name)
        for size in range(len(SIZES))
        for number in rows
        for training in (False, True)
        for name in BUILDERS
    ):
        allocated, moved = count(_pass(name, size, number, training=training))
        pages: float = fresh.run(_IN_A_FRESH_PROCESS, name, str(size), str(number), str(training), timeout=_SECONDS)
        if name == ARCHSPEC and not training:
            worst = max(worst, pages)
        what = f"{SIZES[size].tasks} tasks, B {number}, {'train' if training else 'infer'}"
        lines.append((what, name, *(f"{value / _MIB:.1f}" for value in (allocated, moved, pages))))
    about = (
        "MiB per pass. Allocated: new storages that operations return; moved: their inputs and outputs (a lookup\n"
        "counts its whole table); fresh pages: faulted in by the kernel, in a fresh process after a warm-up."
    )
    bars = (Bar("MiB of fresh pages of an inference pass", 1.0, worst / _MIB, least=False),)
    return Section("Memory", about, ("pass", "contender", "allocated", "moved", "fresh pages"), tuple(lines), bars)


if __name__ == "__main__":
    show(section(short=quick()))
