"""The results of a part of the benchmark, and their format: tables and bars as markdown."""

from __future__ import annotations

import os
import platform
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

BUSY = 0.1
"""From this share of a core in other processes on, a machine is busy."""
PACKAGES = ("torch", "torch-rechub", "deepctr-torch", "numpy")


@dataclass(frozen=True, slots=True)
class Bar:
    """A number that has to be reached; with `least` it is a lower bound."""

    what: str
    bar: float
    reached: float
    least: bool = True
    unit: str = ""

    @property
    def holds(self) -> bool:
        """Whether the bar is reached."""
        return self.reached >= self.bar if self.least else self.reached <= self.bar

    def row(self) -> tuple[str, ...]:
        """The bar's row in the table of bars."""
        sign = "≥" if self.least else "≤"
        return (
            self.what,
            f"{sign} {self.bar:g}{self.unit}",
            f"{self.reached:.3g}{self.unit}",
            "yes" if self.holds else "**no**",
        )


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the results: a heading, a description, a table, and its bars."""

    title: str
    about: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bars: tuple[Bar, ...] = ()

    def markdown(self) -> str:
        """The part as written in results.md."""
        return f"## {self.title}\n\n{self.about}\n\n{table(self.header, self.rows)}"


def table(header: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> str:
    """A markdown table; all columns but the first are aligned to the right."""
    rule = ("---", *["---:"] * (len(header) - 1))
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows)) + "\n"


def show(*sections: Section) -> None:
    """Prints some parts of the results, with their bars."""
    for section in sections:
        sys.stdout.write(section.markdown() + "\n")
        if section.bars:
            sys.stdout.write(bars_table(section.bars) + "\n")
        sys.stdout.flush()


def bars_table(bars: tuple[Bar, ...]) -> str:
    """All bars, with the numbers that were reached."""
    return table(("bar", "wanted", "reached", "holds"), tuple(bar.row() for bar in bars))


def quick() -> bool:
    """Whether short measurements are requested on the command line."""
    return "--quick" in sys.argv[1:]


def machine() -> str:
    """Everything that affects the numbers: processor, cores, threads, versions, and how busy the machine was."""
    return (
        f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch; "
        f"Python {platform.python_version()}, {versions(PACKAGES)}."
    )


def processor() -> str:
    """The processor's name and the instructions that torch uses."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    return f"{name or platform.machine()} with {torch.backends.cpu.get_cpu_capability()}"


def versions(packages: Iterable[str]) -> str:
    """Packages with their versions."""
    return ", ".join(f"{package} {version(package)}" for package in packages)


def foreign_seconds() -> float:
    """Processor seconds that all other processes have used since the machine started; 0 on systems without /proc.

    Processes that this one started and waited for do not count as others.
    """
    counts = Path("/proc/stat")
    if not counts.exists():
        return 0.0
    total = counts.read_text(encoding="ascii").splitlines()[0]
    user, nice, system, *_ = (int(part) for part in total.split()[1:])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


class Beside:
    """What other processes use of the processor from now on."""

    def __init__(self) -> None:
        self._start, self._foreign = time.perf_counter(), foreign_seconds()

    def __str__(self) -> str:
        """Whether the machine was busy or idle so far."""
        share = (foreign_seconds() - self._foreign) / (time.perf_counter() - self._start)
        return f"{'busy' if share > BUSY else 'idle'} machine (other processes used {share:.0%} of a core)"


def ms(seconds: float) -> str:
    """Seconds as milliseconds, with three digits."""
    value = seconds * 1e3
    if value >= 100:  # noqa: PLR2004 - three digits before the point
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - two, or one
