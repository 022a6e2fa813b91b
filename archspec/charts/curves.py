"""Learning curves: losses and metrics over steps or epochs, a line of panels per task."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from archspec import palette
from archspec.charts import page
from archspec.charts.page import EDGE, SMALL, TITLE, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    Points = Sequence[tuple[float, float]]

STROKES: Final[dict[str, dict[str, Any]]] = {
    "train": {"linestyle": "solid", "linewidth": 0.7, "alpha": 0.6},  # many points, which jump
    "validation": {"linestyle": "solid", "linewidth": 1.4},
    "test": {"linestyle": (0, (1, 1)), "linewidth": 1.4},
}
"""Stage -> the style of its line; dots and gaps in line widths."""
FEW: Final = 30  # up to this many points of a line, each is marked

# Inches.
WIDTH, HEIGHT = 1.75, 1.15  # of a panel
LEFT, GAP, HEADER = 0.4, 0.5, 0.16
DOWN: Final = HEADER + HEADER + HEIGHT + 0.36  # from line to line
STROKE: Final = 0.22  # of the legend's strokes


@dataclass(frozen=True)
class Series:
    """A line: the stage it was measured in, its task (empty for all together), the quantity, and the points."""

    stage: str
    task: str
    quantity: str
    points: Points


def learning_curves(
    history: Mapping[str, Points], *, clock: str = "step", tasks: Sequence[str] | None = None
) -> Figure:
    """Draws losses and metrics of a training over steps or epochs.

    There is a line of panels for quantities of all tasks, then one per task, in its hue; each quantity has a panel,
    losses first. Training is a thin line, validation a thick one, and a test is dotted.

    Args:
        history: name of a series -> its points `(step, value)`. Names are `STAGE/QUANTITY` or `STAGE/TASK/QUANTITY`,
            such as `train/loss` and `validation/income/auc`, with a stage of `train`, `validation` and `test`; others,
            and series without points, are left out. Values that are not numbers leave gaps.
        clock: the name of the horizontal axis: steps or epochs.
        tasks: the model's tasks in the order of its spec, which determines their hues; by default, the order of the
            names.

    Raises:
        ValueError: there is nothing to draw.
        SpecError: AS601 without matplotlib.
    """
    series = [found for name, points in history.items() if points and (found := _parse(name, points))]
    if not series:
        raise ValueError("no curve to draw: the history holds no series such as `train/loss` or `validation/TASK/auc`")
    page.need_matplotlib()
    named = dict.fromkeys(one.task for one in series)
    tasks = [task for task in named if task] if tasks is None else tasks
    rows = [row for row in dict.fromkeys(["", *tasks, *named]) if row in named]
    columns = {
        row: sorted(dict.fromkeys(one.quantity for one in series if one.task == row), key="loss".__ne__) for row in rows
    }
    widest = max(map(len, columns.values()))
    figure = page.new_page(EDGE + LEFT + widest * (WIDTH + GAP), 2 * EDGE + HEADER + len(rows) * DOWN)
    _draw_legend(figure, [stage for stage in STROKES if any(one.stage == stage for one in series)])
    for number, row in enumerate(rows):
        top, colours = EDGE + HEADER + number * DOWN, palette.hue(row, tasks)
        page.add_words(figure, EDGE, top, row or "all tasks", TITLE, color=colours.text, weight="bold")
        for place, column in enumerate(columns[row]):
            cell = [one for one in series if (one.task, one.quantity) == (row, column)]
            axes = page.add_panel(figure, EDGE + LEFT + place * (WIDTH + GAP), top + 2 * HEADER, WIDTH, HEIGHT)
            axes.set(xlim=_span(series), xlabel=clock)
            _draw_panel(axes, cell, colours)
    return figure


def _parse(name: str, points: Points) -> Series | None:
    match name.split("/"):
        case [stage, *task, quantity] if stage in STROKES and len(task) <= 1:
            return Series(stage, "".join(task), quantity, points)
        case _:
            return None


def _draw_legend(figure: Figure, stages: Iterable[str]) -> None:
    """Draws the legend of stages in the upper right corner."""
    across, down = figure.get_size_inches()
    left = across - EDGE
    for stage in reversed(list(stages)):
        page.add_words(figure, left, EDGE, stage, ha="right")
        left -= page.width_of(stage, WORDS) + 0.06
        height = 1 - (EDGE + WORDS / 144) / down
        figure.add_artist(_line([(left - STROKE) / across, left / across], [height] * 2, stage, palette.MUTED))
        left -= STROKE + 0.15


def _span(series: Iterable[Series]) -> tuple[float, float]:
    """The first and the last step of all series, with a margin: one scale for all panels."""
    steps = [step for one in series for step, _ in one.points]
    room = 0.03 * (max(steps) - min(steps)) or 0.5
    return min(steps) - room, max(steps) + room


def _draw_panel(axes: Axes, cell: Iterable[Series], colours: palette.Hue) -> None:
    """Draws the lines of one task and quantity (all that a cell contains); a single point is a dot."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    for one in cell:
        steps = [step for step, _ in one.points]
        values = [value if isfinite(value) else float("nan") for _, value in one.points]
        colour = colours.edge if one.stage == "train" else colours.line
        marked = len(steps) == 1 or (len(steps) <= FEW and one.stage != "train")
        axes.add_line(_line(steps, values, one.stage, colour, "." if marked else ""))
        axes.set_title(one.quantity.replace("_", " "), fontsize=WORDS, color=palette.INK, pad=3, parse_math=False)
    axes.autoscale_view(scalex=False)
    axes.xaxis.label.set(fontsize=SMALL, color=palette.INK, parse_math=False)
    axes.xaxis.labelpad = 1
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
    axes.locator_params(axis="y", nbins=4)
    axes.ticklabel_format(axis="y", useOffset=False)


def _line(steps: Sequence[float], values: Sequence[float], stage: str, colour: str, marker: str = "") -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D(steps, values, color=colour, marker=marker, markersize=4, **STROKES[stage])
