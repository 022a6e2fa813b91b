"""The grid of performance.md: three sizes, three batch sizes, inference and training step, against the best other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmarks.contenders import ARCHSPEC, BUILDERS, OTHERS, PLAIN, ROWS, SIZES, Contender, Size
from benchmarks.report import Bar, Section, ms, quick, show
from benchmarks.timing import Timing, interleaved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

INFER, TRAIN = "infer", "train"
_SMALL = 16
_BARS = {INFER: (2.0, 2.5, 4.5), TRAIN: (1.7, 2.0, 3.0)}
"""Times faster than the best other: in every cell; at B 16 with 2 tasks; at B 16 with more."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One size, batch size and mode: every contender's time and count of parameters."""

    size: Size
    rows: int
    mode: str
    timings: dict[str, Timing]
    parameters: dict[str, int]

    @property
    def best_other(self) -> str:
        """The fastest contender other than archspec's."""
        return min((name for name in self.timings if name in OTHERS), key=lambda name: self.timings[name].median)

    def ratio(self, name: str) -> float:
        """How many times faster a contender is than the best other."""
        return self.timings[self.best_other].median / self.timings[name].median

    @property
    def bar(self) -> float:
        """The ratio that archspec has to reach."""
        anywhere, few, many = _BARS[self.mode]
        return anywhere if self.rows > _SMALL else few if self.size.tasks == SIZES[0].tasks else many


def measure(seconds: float) -> list[Cell]:
    """Times every cell; each contender for at least this many seconds.

    Raises:
        AssertionError: archspec's optimized and plain modules disagree.
    """
    cells = []
    for size in SIZES:
        field = [build(size) for build in BUILDERS.values()]
        for rows in ROWS:
            cells += cells_of(size, rows, field, seconds)
    return cells


def cells_of(size: Size, rows: int, field: Sequence[Contender], seconds: float) -> list[Cell]:
    """The two cells, inference and training, of one size and batch size."""
    ids, labels = size.draw(rows)
    parameters = {contender.name: contender.parameters for contender in field}
    with torch.no_grad():
        _agree(field, ids)
        infer = interleaved({contender.name: contender.forward(ids) for contender in field}, seconds)
    train = interleaved({contender.name: contender.step(ids, labels) for contender in field}, seconds)
    return [Cell(size, rows, mode, timings, parameters) for mode, timings in ((INFER, infer), (TRAIN, train))]


def _agree(field: Iterable[Contender], ids: torch.Tensor) -> None:
    """The same seed gives the same weights, so outputs must be equal: a fast but wrong answer does not count."""
    ours = [contender.stacked(contender.forward(ids)()) for contender in field if contender.name in {ARCHSPEC, PLAIN}]
    for logits in ours[1:]:
        torch.testing.assert_close(ours[0], logits, rtol=1e-5, atol=1e-5)


def section(cells: Sequence[Cell]) -> Section:
    """The table of the grid."""
    about = (
        "PLE over 40 sparse inputs (vocabulary 10,000, width 16), two levels, one linear layer per gate,\n"
        "float32, eager. `train` is forward and backward of the sum of the tasks' losses. Milliseconds,\n"
        "medians; in parentheses how many times faster than the fastest other library of that row (below 1:\n"
        "slower), and the number of parameters, in thousands."
    )
    names = list(cells[0].timings)
    header = ("size", "B", "mode", *names, "bar")
    rows = tuple(
        (str(cell.size), str(cell.rows), cell.mode, *(_entry(cell, name) for name in names), f"{cell.bar:.1f}")
        for cell in cells
    )
    bars = tuple(
        Bar(
            f"{cell.size.tasks} tasks, B {cell.rows}, {cell.mode}: times the best other", cell.bar, cell.ratio(ARCHSPEC)
        )
        for cell in cells
    )
    return Section("Grid", about, header, rows, bars)


def _entry(cell: Cell, name: str) -> str:
    entry = f"{ms(cell.timings[name].median)} ({cell.ratio(name):.2f}) {cell.parameters[name] / 1e3:.0f}k"
    return f"**{entry}**" if name == ARCHSPEC else entry


def main() -> None:
    """Only the grid."""
    show(section(measure(0.1 if quick() else 0.5)))


if __name__ == "__main__":
    main()
