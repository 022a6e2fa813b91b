"""Learning curves: losses and metrics over steps or epochs, a line of panels per task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isclose, isfinite
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
    "train": {"linestyle": "solid", "linewidth": 0.7, "alpha": 0.6},  # many points with much noise
    "validation": {"linestyle": "solid", "linewidth": 1.4},
    "test": {"linestyle": (0, (1, 1)), "linewidth": 1.4},
}
"""Stage -> the style of its line; dots and gaps in line widths."""
BEST: Final[dict[str, Any]] = {"linestyle": (0, (3, 2)), "linewidth": 0.8}
"""The style of the line at the best step."""
ALIKE: Final = 1e-5  # the same number, computed in two ways in float32
FEW: Final = 30  # a line with at most this many points has a mark at each

# Inches.
WIDTH, HEIGHT = 1.75, 1.15  # size of a panel
LEFT, GAP, HEADER = 0.4, 0.5, 0.16
DOWN: Final = HEADER + HEADER + HEIGHT + 0.36  # from line to line
STROKE: Final = 0.22  # length of the lines in the legend


@dataclass(frozen=True)
class Series:
    """A line: the stage it was measured in, its task (empty for all tasks), the quantity, and the points."""

    stage: str
    task: str
    quantity: str
    points: Points

    def follows(self, other: Series) -> bool:
        """Whether two curves of one stage lie on each other."""
        return (
            self.stage == other.stage
            and len(self.points) == len(other.points)
            and all(
                step == at and (isclose(value, theirs, rel_tol=ALIKE) or not (isfinite(value) or isfinite(theirs)))
                for (step, value), (at, theirs) in zip(self.points, other.points, strict=True)
            )
        )


def learning_curves(
    history: Mapping[str, Points],
    *,
    clock: str = "step",
    tasks: Sequence[str] | None = None,
    best: tuple[float, str] | None = None,
) -> Figure:
    """Draws losses and metrics of a training over steps or epochs.

    There is a line of panels for quantities of all tasks, then one per task, in its hue; each quantity has a panel,
    losses first. Training is a thin line, validation a thick one, and a test is dotted. Quantities with the same curves
    share a panel: a task's log loss is usually its loss.

    Args:
        history: name of a series -> its points `(step, value)`. Names are `STAGE/QUANTITY` or `STAGE/TASK/QUANTITY`,
            such as `train/loss` and `validation/income/auc`, with a stage of `train`, `validation` and `test`; other
            names, and series without points, are left out. Values that are not numbers leave gaps.
        clock: the name of the horizontal axis: steps or epochs.
        tasks: the model's tasks in the order of its spec, which determines their hues; by default, the order of the
            names.
        best: the step or epoch to mark with a line, and what the legend calls it, such as `(20, "best epoch: 4")`.

    Raises:
        ValueError: there is nothing to draw.
        SpecError: AS601 without matplotlib.
    """
    series = [found for name, points in history.items() if points and (found := _parse(name, points))]
    if not series:
        raise ValueError("no curve to draw: the history has no series such as `train/loss` or `validation/TASK/auc`")
    page.need_matplotlib()
    named = dict.fromkeys(one.task for one in series)
    tasks = [task for task in named if task] if tasks is None else tasks
    rows = [row for row in dict.fromkeys(["", *tasks, *named]) if row in named]
    panels = {row: _panels([one for one in series if one.task == row]) for row in rows}
    if len(rows) == 2 and all(any(_same(one, own) for own in panels[rows[1]]) for one in panels.get("", ())):  # noqa: PLR2004 - all tasks, and the only one
        del panels[""]
    widest = max(map(len, panels.values()))
    figure = page.new_page(EDGE + LEFT + widest * (WIDTH + GAP), 2 * EDGE + HEADER + len(panels) * DOWN)
    _draw_legend(figure, [stage for stage in STROKES if any(one.stage == stage for one in series)], best)
    for number, (row, cells) in enumerate(panels.items()):
        top, colours = EDGE + HEADER + number * DOWN, palette.hue(row, tasks)
        page.add_words(figure, EDGE, top, row or "all tasks", TITLE, color=colours.text, weight="bold")
        for place, cell in enumerate(cells):
            axes = page.add_panel(figure, EDGE + LEFT + place * (WIDTH + GAP), top + 2 * HEADER, WIDTH, HEIGHT)
            axes.set(xlim=_span(series), xlabel=clock)
            _draw_panel(axes, cell, colours)
            if best is not None:
                axes.axvline(best[0], color=palette.MUTED, zorder=0.9, **BEST)
    return figure


@dataclass(frozen=True)
class Panel:
    """The curves of one quantity, and the names of all quantities that have them."""

    series: tuple[Series, ...]
    names: tuple[str, ...]

    @property
    def title(self) -> str:
        """The names in words."""
        return ", ".join(name.replace("_", " ") for name in self.names)


def _panels(series: Sequence[Series]) -> list[Panel]:
    """A panel for each quantity, losses first; a quantity whose curves another panel has is only named there."""
    found: list[Panel] = []
    for quantity in sorted(dict.fromkeys(one.quantity for one in series), key="loss".__ne__):
        panel = Panel(tuple(one for one in series if one.quantity == quantity), (quantity,))
        place = next((place for place, other in enumerate(found) if _same(panel, other)), None)
        if place is None:
            found.append(panel)
        else:
            found[place] = replace(found[place], names=(*found[place].names, quantity))
    return found


def _same(panel: Panel, other: Panel) -> bool:
    """Whether another panel has all curves of this one."""
    return all(any(one.follows(theirs) for theirs in other.series) for one in panel.series)


def _parse(name: str, points: Points) -> Series | None:
    match name.split("/"):
        case [stage, *task, quantity] if stage in STROKES and len(task) <= 1:
            return Series(stage, "".join(task), quantity, points)
        case _:
            return None


def _draw_legend(figure: Figure, stages: Iterable[str], best: tuple[float, str] | None) -> None:
    """Draws the legend of stages, and of the best step, in the upper right corner."""
    left = figure.get_size_inches()[0] - EDGE
    strokes = [(stage, STROKES[stage]) for stage in stages] + ([(best[1], BEST)] if best else [])
    for words, stroke in reversed(strokes):
        left = _draw_stroke(figure, left, words, stroke)


def _draw_stroke(figure: Figure, right: float, words: str, stroke: Mapping[str, Any]) -> float:
    """Draws one stroke of the legend and its words, which end at `right`; returns where the next one ends."""
    from matplotlib.lines import Line2D

    across, down = figure.get_size_inches()
    page.add_words(figure, right, EDGE, words, ha="right")
    end, height = right - page.width_of(words, WORDS) - 0.06, 1 - (EDGE + WORDS / 144) / down
    figure.add_artist(Line2D([(end - STROKE) / across, end / across], [height] * 2, color=palette.MUTED, **stroke))
    return float(end - STROKE - 0.15)


def _span(series: Iterable[Series]) -> tuple[float, float]:
    """The first and the last step of all series, with a margin: one scale for all panels."""
    steps = [step for one in series for step, _ in one.points]
    room = 0.03 * (max(steps) - min(steps)) or 0.5
    return min(steps) - room, max(steps) + room


def _draw_panel(axes: Axes, cell: Panel, colours: palette.Hue) -> None:
    """Draws the curves of a panel; a single point is a dot."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.set_title(cell.title, fontsize=WORDS, color=palette.INK, pad=3, parse_math=False)
    for one in cell.series:
        steps = [step for step, _ in one.points]
        values = [value if isfinite(value) else float("nan") for _, value in one.points]
        colour = colours.edge if one.stage == "train" else colours.line
        marked = len(steps) == 1 or (len(steps) <= FEW and one.stage != "train")
        axes.add_line(_line(steps, values, one.stage, colour, "." if marked else ""))
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
