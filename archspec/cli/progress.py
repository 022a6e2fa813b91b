"""Shows the progress of a run on standard error: lines, and on a terminal a bar below them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Self

import click

from archspec.cli.messages import report

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archspec.diagnostics import Diagnostic
    from archspec.runs.checkpoints import Step


def leads() -> bool:
    """Whether this process prints for the run: the other processes that Lightning or torchrun starts are silent."""
    from archspec.runs.processes import rank_of

    return rank_of() == 0


class ProgressBar:
    """Shows the progress of a run: lines, above a bar that exists only on a terminal and is removed when the run ends.

    Args:
        batch: rows per step.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self._bar: Any = None
        self._task: Any = None
        self._training = False

    def __enter__(self) -> Self:
        """Starts the bar if there is a terminal."""
        if leads() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = _bar()
        return self

    def __exit__(self, *_: object) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        if leads():
            self._above(lambda: click.echo(line, err=True))

    def warn(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Prints warnings above the bar."""
        if leads():
            self._above(lambda: report(diagnostics))

    def rows(self, stage: str, count: int) -> None:
        """Shows the number of rows that a stage has processed."""
        self._show(f"{stage}: {count:,} rows", completed=0, total=None)

    def step(self, step: Step) -> None:
        """Shows a finished training step."""
        if self._bar is None:
            return
        done = (step.epoch - 1) * step.steps + step.step
        if not self._training:  # estimate the remaining time from this step on, since the run may be resumed
            self._training = True
            self._bar.remove_task(self._task) if self._task is not None else None
            self._task = self._bar.add_task("", total=step.epochs * step.steps, completed=done - 1)
        speed = self._bar.tasks[0].speed
        rate = f", {speed * self.batch:,.0f} rows/s" if speed else ""
        place = f"epoch {step.epoch}/{step.epochs}, step {step.step:,}/{step.steps:,}{rate}"
        self._show(place, completed=done, total=step.epochs * step.steps)

    def _show(self, text: str, *, completed: int, total: int | None) -> None:
        if self._bar is None:
            return
        self._bar.start()
        if self._task is None:
            self._task = self._bar.add_task(text, total=total)
        self._bar.update(self._task, description=text, completed=completed, total=total)

    def _above(self, write: Any) -> None:  # noqa: ANN401 - a function without arguments
        if self._bar is None or not self._bar.live.is_started:
            write()
            return
        self._bar.stop()
        write()
        self._bar.start()


def _bar() -> Any:  # noqa: ANN401 - rich is imported where it is used
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn()
    return Bar(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)
