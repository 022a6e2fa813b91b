"""The whole benchmark: `make bench`, or `python -m benchmarks.run`. Writes results.md, the figure, README's table."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import (
    attention,
    compile_time,
    figure,
    floors,
    grid,
    growth,
    memory,
    operations,
    peak,
    readme,
    report,
    tables,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.grid import Cell
    from benchmarks.report import Section

HERE = Path(__file__).parent


def sections(cells: list[Cell], *, quick: bool) -> Iterator[Section]:
    """Every part, the grid first."""
    seconds = 0.1 if quick else 0.5
    yield grid.section(cells)
    yield floors.section(cells, seconds / 10)
    yield peak.section(seconds)
    yield operations.section()
    yield memory.section(short=quick)
    yield growth.run_time(growth.measure(seconds, short=quick))
    yield growth.build_time(short=quick)
    yield tables.section(2 * seconds)
    yield attention.section(seconds)
    yield compile_time.section(short=quick)


def results(parts: list[Section], minutes: float, foreign: float, *, quick: bool) -> str:
    """The text of results.md: machine, bars, then every part."""
    bars = tuple(bar for part in parts for bar in part.bars)
    command = "make bench QUICK=1" if quick else "make bench"
    head = (
        f"# Benchmark results\n\nMade by `{command}` in {minutes:.0f} minutes; [how](README.md).\n\n"
        f"{report.machine()}\nMeanwhile other processes kept {foreign:.2f} of a core busy.\n\n"
        f"![How many times faster than the best other library](grid.svg)\n\n"
        f"## Bars\n\n{sum(bar.holds for bar in bars)} of {len(bars)} hold.\n\n{report.bars_table(bars)}\n"
    )
    return head + "\n".join(part.markdown() for part in parts)


def main() -> None:
    """Runs everything, prints each part when it is done, then writes the files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short measurements, fewer of them: under three minutes")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for results.md and the figure")
    options = parser.parse_args()
    start, foreign, beside = time.monotonic(), report.foreign_seconds(), report.Beside()
    cells = grid.measure(0.1 if options.quick else 0.5)
    parts: list[Section] = []
    for part in sections(cells, quick=options.quick):
        report.show(part)
        parts.append(part)
    options.out.mkdir(parents=True, exist_ok=True)
    figure.draw(cells, options.out / "grid")
    seconds = time.monotonic() - start
    text = results(parts, seconds / 60, (report.foreign_seconds() - foreign) / seconds, quick=options.quick)
    (options.out / "results.md").write_text(text, encoding="utf-8")
    if options.out == HERE:
        readme.fill(HERE.parent / "README.md", cells)
        tables.keep(next(part for part in parts if part.title == tables.TITLE), beside)


if __name__ == "__main__":
    main()
