"""A whole training step, including the optimizer, with large tables, which cost more than the network.

`make bench` and `python -m benchmarks.tables` write `benchmarks/tables.json` and the table of docs/scaling.md, both at
the end or not at all. It needs 16 GB of memory, a few minutes on an idle machine, and torch-rechub (`.venv-bench`, made
by `make bench`).
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from archspec.files import write_whole
from archspec.train.rowwise import RowWiseAdagrad
from archspec.train.table_adamw import TableAdamW
from benchmarks.contenders import ARCHSPEC, RECHUB, SIZES, Contender, Size, optimized, rechub
from benchmarks.report import Beside, Section, ms, processor, quick, table, versions
from benchmarks.timing import interleaved
from examples.report import write_section

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.optim import Optimizer

LARGE: Final = (replace(SIZES[0], vocab=100_000), replace(SIZES[0], vocab=1_000_000, dim=4))
"""40 tables each; wider rows of the second would not fit into 16 GB with the states of all optimizers."""
KEPT: Final = Path(__file__).with_name("tables.json")
TITLE: Final = "Large tables"
PAGE: Final = Path(__file__).parents[1] / "docs/scaling.md"
_ROWS: Final = 256
_BATCHES: Final = 32
"""Batches that a contender takes in turn: the rows of one alone would stay in the processor's cache."""
_SPARSE: Final = ", sparse_grad: true"
_HEADER: Final = ("tables", "contender", "optimizer of the tables", "gradients", "step, ms", "ratio")


def adam(weights: list[Tensor]) -> Optimizer:
    """Adam as torch makes it by default."""
    return torch.optim.Adam(weights)


def fused(weights: list[Tensor]) -> Optimizer:
    """Adam in one kernel."""
    return torch.optim.Adam(weights, fused=True)


def undecayed(weights: list[Tensor]) -> Optimizer:
    """AdamW of sparse gradients without decay, which is Adam."""
    return TableAdamW(weights, weight_decay=0.0)


def contenders(size: Size) -> dict[tuple[str, str, str], Callable[[], None]]:
    """A training step of each contender, by library, optimizer of its tables and kind of gradients."""
    dense, sparse = "dense", "sparse"
    made = {
        (RECHUB, "Adam", dense): (rechub(size), adam, adam),
        (RECHUB, "fused Adam", dense): (rechub(size), fused, fused),
        (ARCHSPEC, "fused Adam", dense): (optimized(size), fused, fused),
        (ARCHSPEC, "TableAdamW", sparse): (optimized(size, _SPARSE), fused, undecayed),
        (ARCHSPEC, "row-wise Adagrad", dense): (optimized(size), fused, RowWiseAdagrad),
        (ARCHSPEC, "row-wise Adagrad", sparse): (optimized(size, _SPARSE), fused, RowWiseAdagrad),
        (ARCHSPEC, "SparseAdam", sparse): (optimized(size, _SPARSE), fused, torch.optim.SparseAdam),
    }
    return {key: step(size, *parts) for key, parts in made.items()}


def step(
    size: Size,
    contender: Contender,
    network: Callable[[list[Tensor]], Optimizer],
    tables: Callable[[list[Tensor]], Optimizer],
) -> Callable[[], None]:
    """A training step on the next batch, with one optimizer for the tables and another for everything else."""
    ids, labels = size.draw(_ROWS * _BATCHES)
    batches = list(zip(ids.split(_ROWS), labels.split(_ROWS), strict=True))
    contender.step(*batches[0])()
    learning = [weight for weight in contender.model.parameters() if weight.grad is not None]
    large = [weight for weight in learning if weight.shape[0] >= size.vocab]
    optimizers = [tables(large), network([weight for weight in learning if weight.shape[0] < size.vocab])]

    def update() -> None:
        for optimizer in optimizers:
            optimizer.step()

    turns = itertools.cycle([contender.step(*batch, update) for batch in batches])

    def run() -> None:
        next(turns)()

    return run


def rows_of(size: Size, seconds: float) -> tuple[tuple[str, ...], ...]:
    """The rows of the table for one size."""
    field = contenders(size)
    timings = {key: found.median for key, found in interleaved(field, seconds).items()}
    best = min(median for key, median in timings.items() if key[0] == RECHUB)
    name = f"{size.inputs} x {size.vocab:,} x {size.dim}"
    return tuple((name, *key, ms(median), f"{best / median:.2f}") for key, median in timings.items())


def section(seconds: float) -> Section:
    """The table; the short form has only the smaller tables."""
    sizes = LARGE[:1] if quick() else LARGE
    about = (
        f"Forward, backward and optimizer step: {SIZES[0]}, B {_ROWS}, tables as inputs x rows x width;\n"
        f"{_BATCHES} batches of random ids in turn. TableAdamW, without decay, makes the steps of Adam.\n"
        "Milliseconds, medians, and how many times faster than torch-rechub with the better optimizer.\n"
        "SparseAdam and row-wise Adagrad are other optimizers than Adam: a row that a batch does not look up keeps\n"
        "its value and its state."
    )
    return Section(TITLE, about, _HEADER, tuple(row for size in sizes for row in rows_of(size, seconds)))


def keep(found: Section, beside: Beside) -> None:
    """Writes the table, and how busy the machine was, to the JSON file and the page."""
    threads = torch.get_num_threads()
    running = f"{threads} thread{'s' * (threads > 1)}"
    about = f"{processor()}; {versions(('torch', 'torch-rechub'))}; {running}; {beside}."
    write_whole(KEPT, json.dumps({"about": about, "header": found.header, "rows": found.rows}, indent=1) + "\n")
    write_section(PAGE, "tables", f"{found.about}\n\n{about}\n\n{table(found.header, found.rows)}")


def main() -> None:
    """Only the large tables."""
    beside = Beside()
    keep(section(0.2 if quick() else 2.0), beside)


if __name__ == "__main__":
    main()
