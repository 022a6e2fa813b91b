"""Shows the progress of a command on standard error: a bar below the lines, lines alone, or lines of JSON."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from math import isfinite
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Self

from archspec.cli.messages import event, progress_mode, report, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from archspec.cli.messages import Mode
    from archspec.diagnostics import Diagnostic
    from archspec.runs.checkpoints import Epoch, Step

_APART: Final[dict[Mode, float]] = {"bar": 0.1, "plain": 30.0, "json": 1.0, "none": float("inf")}
"""Seconds between two signs of progress, at least."""
_WINDOW: Final = 30.0
"""Seconds over which speed is measured."""


def leads() -> bool:
    """Whether this process prints for the run: the other processes that Lightning or torchrun starts are silent."""
    from archspec.runs.processes import rank_of

    return rank_of() == 0


class Display:
    """Shows progress as `--progress` says; in the other processes of a run, nothing at all.

    A bar is drawn below the lines, exists only on a terminal, and is removed at the end. Without one, a line appears
    every half a minute. As JSON, each line is an object, whose `event` is `message`, `finding`, `rows`, `step` or
    `epoch`: steps and rows about once a second, and the first and the last step of each epoch.

    Args:
        batch: rows per step.
        clock: returns seconds.
    """

    def __init__(self, batch: int = 0, clock: Callable[[], float] = monotonic) -> None:
        self.batch, self._clock = batch, clock
        self.mode: Mode = progress_mode() if leads() else "none"
        self._bar: Any = None
        self._task: Any = None
        self._stage = ""
        self._pace = _Pace()
        self._loss: Any = 0.0
        self._losses = 0
        self._shown = clock()

    def __enter__(self) -> Self:
        """Makes the bar, which appears with the first rows or step."""
        if self.mode == "bar":
            self._bar = _bar()
        return self

    def __exit__(self, *_: object) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        if self.mode != "none":
            self._above(lambda: tell(line))

    def warn(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Prints warnings above the bar."""
        if leads():
            self._above(lambda: report(diagnostics))

    def epoch(self, epoch: Epoch) -> None:
        """Shows a finished epoch."""
        if self.mode == "json":
            event("epoch", epoch=epoch.epoch, kept=epoch.kept, metrics=dict(epoch.metrics))
        else:
            self.say(epoch.line)
        self._shown = self._clock()

    def rows(self, stage: str, count: int) -> None:
        """Shows the number of rows that a stage has processed."""
        first = self._start(stage)
        self._pace.add(self._clock(), count)
        if not self._due(now=first and self.mode != "plain"):
            return
        speed = self._pace.speed()
        if self.mode == "json":
            event("rows", stage=stage, rows=count, rows_per_second=speed and round(speed, 1))
            return
        after = f"{speed:,.0f} rows/s" if speed else ""
        self._show(f"{stage}: {count:,} rows", after, completed=0, total=None)

    def step(self, step: Step) -> None:
        """Shows a finished training step, with the mean loss since the last one shown."""
        if self.mode == "none":
            return
        first = self._start("training")  # the remaining time is estimated from here on: the run may be resumed
        done = (step.epoch - 1) * step.steps + step.step
        self._pace.add(self._clock(), done)
        self._loss, self._losses = self._loss + step.loss.detach(), self._losses + 1
        ends = first or step.step in {1, step.steps}
        if self._due(now=ends and self.mode != "plain"):
            loss, self._loss, self._losses = float(self._loss) / self._losses, 0.0, 0
            self._show_step(step, done, loss)

    def _show_step(self, step: Step, done: int, loss: float) -> None:
        speed, total = self._pace.speed(), step.epochs * step.steps
        left = (total - done) / speed if speed else None
        if self.mode == "json":
            event(
                "step", epoch=step.epoch, epochs=step.epochs, step=step.step, steps=step.steps,
                loss=loss if isfinite(loss) else None,
                rows_per_second=speed and round(speed * self.batch, 1), seconds_left=left and round(left, 1),
            )  # fmt: skip
            return
        after = [f"{speed * self.batch:,.0f} rows/s"] if speed else []
        after += [f"loss {loss:.4f}"]
        after += [f"{timedelta(seconds=round(left))} left"] if left is not None else []
        place = f"epoch {step.epoch}/{step.epochs}, step {step.step:,}/{step.steps:,}"
        self._show(place, ", ".join(after), completed=done, total=total)

    def _start(self, stage: str) -> bool:
        """Whether this stage begins now; speed is measured in each stage alone."""
        if stage == self._stage:
            return False
        self._stage, self._pace = stage, _Pace()
        return True

    def _due(self, *, now: bool) -> bool:
        """Whether it is time for the next sign of progress."""
        time = self._clock()
        if not now and time - self._shown < _APART[self.mode]:
            return False
        self._shown = time
        return True

    def _show(self, text: str, after: str, *, completed: int, total: int | None) -> None:
        """Shows a place and what belongs to it, before and after the bar, or as a line."""
        if self.mode == "plain":
            tell(f"{text}, {after}" if after else text)
        if self._bar is None:
            return
        self._bar.start()
        if self._task is None:
            self._task = self._bar.add_task(text, total=total, after=after)
        self._bar.update(self._task, description=text, after=after, completed=completed, total=total, refresh=True)

    def _above(self, write: Callable[[], None]) -> None:
        if self._bar is None or not self._bar.live.is_started:
            write()
            return
        self._bar.stop()
        write()
        self._bar.start()


class _Pace:
    """How fast a count rises, over the last half a minute."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()

    def add(self, time: float, count: int) -> None:
        """Adds a count; forgets those that are too old."""
        self._points.append((time, count))
        while len(self._points) > 2 and time - self._points[1][0] > _WINDOW:  # noqa: PLR2004 - two points make a speed
            self._points.popleft()

    def speed(self) -> float | None:
        """The rise per second; None if it is not known yet."""
        (start, low), (end, high) = self._points[0], self._points[-1]
        return (high - low) / (end - start) if end > start and high > low else None


def _bar() -> Any:  # noqa: ANN401 - rich is imported where it is used
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    before, after = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[after]}"))
    return Bar(
        before, BarColumn(None), after, console=Console(stderr=True), transient=True, expand=True,
        redirect_stdout=False, redirect_stderr=True,
    )  # fmt: skip
