"""The figure of the synthetic experiment: loss curves, one panel per p, and below them the last loss of every run."""

from __future__ import annotations

from math import sqrt
from statistics import mean, stdev
from typing import TYPE_CHECKING, Final

from archspec import palette
from archspec.charts import page
from archspec.charts.page import EDGE, SMALL, TITLE, WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from examples.synthetic_runs import Curve, Job

# Inches.
WIDTH, CURVES, ENDS = 1.95, 1.7, 1.15  # of panels, and the heights of both kinds
LEFT, GAP, HEADER, BETWEEN, BELOW = 0.4, 0.2, 0.42, 0.55, 0.45
STROKE: Final = 0.22  # of the legend's strokes
CAPTION = "above: mean of all runs, band of one standard error; below: a dot per run, at the end, and their mean"


def draw(curves: Mapping[Job, Curve], models: Sequence[str], correlations: Sequence[float]) -> Figure:
    """Mean loss of each model over the steps, and the last loss of every run, on one logarithmic scale for all p."""
    page.need_matplotlib()
    width = EDGE + LEFT + len(correlations) * (WIDTH + GAP)
    figure = page.new_page(width, 2 * EDGE + HEADER + CURVES + BETWEEN + ENDS + BELOW)
    _draw_legend(figure, models)
    rows: tuple[list[Axes], list[Axes]] = ([], [])
    for number, p in enumerate(correlations):
        left = EDGE + LEFT + number * (WIDTH + GAP)
        upper = page.add_panel(figure, left, EDGE + HEADER, WIDTH, CURVES)
        lower = page.add_panel(figure, left, EDGE + HEADER + CURVES + BETWEEN, WIDTH, ENDS)
        for place, model in enumerate(models):
            runs = [curve for job, curve in curves.items() if (job.model, job.p) == (model, p)]
            colour = palette.hue(model, models).line
            _draw_curve(upper, runs, colour)
            _draw_ends(lower, place, [curve[-1][1] for curve in runs], colour)
        upper.set_title(f"p = {p}", fontsize=TITLE, color=palette.INK, pad=4)
        upper.set_xlabel("step", fontsize=SMALL, color=palette.INK, labelpad=1)
        lower.set_xticks(range(len(models)), [model.replace(" ", "\n").replace("-B", "-\nB") for model in models])
        for row, axes in zip(rows, (upper, lower), strict=True):
            row.append(axes)
    for row, what in zip(rows, ("loss", "loss at the end"), strict=True):
        _scale(row, what)
    down = figure.get_size_inches()[1]
    page.add_words(figure, width - EDGE, down - EDGE - 0.1, CAPTION, SMALL, ha="right")
    return figure


def _draw_curve(axes: Axes, runs: Sequence[Curve], colour: str) -> None:
    """Draws the mean over runs and a band of one standard error to both sides."""
    steps = [step for step, _ in runs[0]]
    by_step = [[loss for _, loss in points] for points in zip(*runs, strict=True)]
    means = [mean(losses) for losses in by_step]
    errors = [stdev(losses) / sqrt(len(losses)) for losses in by_step]
    low = [value - error for value, error in zip(means, errors, strict=True)]
    high = [value + error for value, error in zip(means, errors, strict=True)]
    axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(steps, means, color=colour, linewidth=1.1)


def _draw_ends(axes: Axes, place: int, losses: Sequence[float], colour: str) -> None:
    """Draws a dot for each run, and a stroke at their mean."""
    axes.plot([place] * len(losses), losses, "o", color=colour, alpha=0.55, markersize=3, markeredgewidth=0)
    axes.plot([place - 0.3, place + 0.3], [mean(losses)] * 2, color=colour, linewidth=1.4)


def _scale(row: Sequence[Axes], what: str) -> None:
    """Sets the same logarithmic scale for the panels of a row; the first has the numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    for axes in row:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    limits = min(axes.get_ylim()[0] for axes in row), max(axes.get_ylim()[1] for axes in row)
    for axes in row:
        axes.set_ylim(limits)
        axes.tick_params(axis="y", left=axes is row[0], labelleft=axes is row[0])
    row[0].set_ylabel(what, fontsize=SMALL, color=palette.INK, labelpad=2)


def _draw_legend(figure: Figure, models: Sequence[str]) -> None:
    """Draws the legend of models along the top."""
    from matplotlib.lines import Line2D

    across, down = figure.get_size_inches()
    left, height = EDGE + LEFT, 1 - (EDGE + WORDS / 144) / down
    for model in models:
        hue = palette.hue(model, models)
        figure.add_artist(
            Line2D([left / across, (left + STROKE) / across], [height] * 2, color=hue.line, linewidth=1.6)
        )
        page.add_words(figure, left + STROKE + 0.06, EDGE, model, color=hue.text)
        left += STROKE + page.width_of(model, WORDS) + 0.3
