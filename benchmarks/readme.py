"""The table of the README, which `make bench` puts between its markers: how many times faster, in nine cells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archspec.files import write_whole
from benchmarks.contenders import ARCHSPEC, ROWS, SIZES
from benchmarks.grid import INFER, TRAIN, Cell
from benchmarks.report import table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MARKED = re.compile(r"(<!-- bench -->\n).*?(<!-- /bench -->)", re.DOTALL)


def summary(cells: Sequence[Cell]) -> str:
    """The grid in five lines: per size and batch size, times faster than the best other library."""
    ratios = {(cell.size, cell.rows, cell.mode): cell.ratio(ARCHSPEC) for cell in cells}
    header = ("times faster than the fastest other, inference / training", *(f"B {rows}" for rows in ROWS))
    lines = [
        (
            f"{size.tasks} tasks",
            *(" / ".join(f"{ratios[size, rows, mode]:.2f}" for mode in (INFER, TRAIN)) for rows in ROWS),
        )
        for size in SIZES
    ]
    return table(header, tuple(lines))


def fill(readme: Path, cells: Sequence[Cell]) -> bool:
    """Puts the table between `<!-- bench -->` and `<!-- /bench -->`; returns False if the file has no such markers."""
    old = readme.read_text(encoding="utf-8") if readme.exists() else ""
    new = MARKED.sub(lambda match: f"{match[1]}{summary(cells)}{match[2]}", old)
    if new != old:
        write_whole(readme, new)
    return MARKED.search(old) is not None
