"""Growth with the number of tasks: run time, and the time to check and to build a spec."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import archspec
from benchmarks import fresh
from benchmarks.contenders import ARCHSPEC, BUILDERS, PLAIN, RECHUB, Size, spec_text
from benchmarks.grid import Cell, cells_of
from benchmarks.report import Bar, Section, ms, quick, show

_ROWS = 256
_SPECS = (10, 100, 1000)
_LONGEST = 120.0
_CODE = "import sys; from benchmarks.growth import build_one; build_one(int(sys.argv[1]))"
_CHECKS = 3


def measure(seconds: float, *, short: bool) -> list[Cell]:
    """Inference and training step with 2, 8, 32 and (not in the short form) 128 tasks."""
    cells = []
    for tasks in (2, 8, 32) if short else (2, 8, 32, 128):
        size = Size(tasks, 1, (128, 64), (32,))
        cells += cells_of(size, _ROWS, [BUILDERS[name](size) for name in (ARCHSPEC, PLAIN, RECHUB)], seconds)
    return cells


def run_time(cells: list[Cell]) -> Section:
    """The table of run times."""
    names = list(cells[0].timings)
    about = (
        f"PLE with 1+1 experts of [128, 64] and towers of [32], B {_ROWS}. Milliseconds, medians; in\n"
        "parentheses how many times faster than torch-rechub."
    )
    rows = tuple(
        (
            str(cell.size.tasks),
            cell.mode,
            *(f"{ms(cell.timings[name].median)} ({cell.ratio(name):.2f})" for name in names),
        )
        for cell in cells
    )
    return Section("Growth: run time", about, ("tasks", "mode", *names), rows)


def build_one(tasks: int) -> None:
    """Prints the time to build a spec with this many tasks, as JSON; excludes the imports."""
    archspec.compile(_spec(2), seed=0)
    text = _spec(tasks)
    start = time.perf_counter()
    archspec.compile(text, seed=0)
    sys.stdout.write(json.dumps([time.perf_counter() - start]) + "\n")


def check_time(tasks: int) -> float:
    """Median seconds of `archspec validate` for a spec with this many tasks, including the start of Python."""
    seconds = []
    for _ in range(_CHECKS):
        start = time.perf_counter()
        words = [sys.executable, "-m", "archspec", "validate", "-"]
        subprocess.run(words, input=_spec(tasks), text=True, check=True, capture_output=True)  # noqa: S603 - our own command
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _spec(tasks: int) -> str:
    return spec_text(Size(tasks, 1, (32, 16), (8,), inputs=8, vocab=100))


def build_time(*, short: bool) -> Section:
    """The table of checking and building, a fresh process for each."""
    rows: list[tuple[str, ...]] = []
    bars: list[Bar] = []
    for tasks in _SPECS[:2] if short else _SPECS:
        check = check_time(tasks)
        try:
            (build,) = fresh.run(_CODE, str(tasks), timeout=_LONGEST)
        except fresh.FreshError as error:
            rows.append((str(tasks), f"{check:.2f}", str(error), ""))
            build = float("inf")
        else:
            rows.append((str(tasks), f"{check:.2f}", f"{build:.2f}", f"{1e3 * build / tasks:.1f}"))
        if tasks == _SPECS[-1]:
            bars.append(Bar("archspec validate, a spec of 1,000 tasks", 2, check, least=False, unit=" s"))
            bars.append(Bar("build of a spec of 1,000 tasks", 20, build, least=False, unit=" s"))
    about = (
        "Seconds of `archspec validate`, start of Python and all, and to build the optimized module from its text,\n"
        "without imports: PLE with 1+1 experts of [32, 16], 8 sparse inputs.\n"
        "Linear growth keeps the last column level."
    )
    return Section(
        "Growth: build time", about, ("tasks", "check", "build", "build, ms a task"), tuple(rows), tuple(bars)
    )


def main() -> None:
    """Both tables."""
    show(run_time(measure(0.1 if quick() else 0.5, short=quick())), build_time(short=quick()))


if __name__ == "__main__":
    main()
