"""The importance of inputs as bars with whiskers, a panel per task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from archspec import palette
from archspec.charts import page
from archspec.charts.page import EDGE, SMALL, TITLE, WORDS, width_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.figure import Figure

ROW: Final = 0.17  # from bar to bar
WIDTH, GAP, HEADER, FOOT = 1.7, 0.25, 0.24, 0.42  # of a panel; between panels; above and below them


def importance_bars(
    changes: Mapping[str, Mapping[str, tuple[float, float]]], *, metrics: Mapping[str, str], caption: str = ""
) -> Figure:
    """Draws by how much a metric gets worse for each task when an input is permuted, with whiskers of one deviation.

    Args:
        changes: input -> task -> mean change for the worse, and its standard deviation; inputs from top to bottom.
        metrics: task -> the metric, in words.
        caption: words below the figure.

    Raises:
        ValueError: there is no input or no task.
        SpecError: AS601 without matplotlib.
    """
    if not changes or not metrics:
        raise ValueError("nothing to draw: no input, or no task")
    page.need_matplotlib()
    tasks, height = list(metrics), len(changes) * ROW
    left = EDGE + max(width_of(name, WORDS) for name in changes) + 0.08
    wide = max(WIDTH, *(width_of(f"{task}: {metrics[task]}", TITLE) for task in tasks))
    width = max(left + len(tasks) * (wide + GAP) + EDGE, width_of(caption, SMALL) + 2 * EDGE)
    figure = page.new_page(width, EDGE + HEADER + height + FOOT)
    places = range(len(changes))
    for number, task in enumerate(tasks):
        axes = page.add_panel(figure, left + number * (wide + GAP), EDGE + HEADER, wide, height)
        means, deviations = zip(*(changes[name].get(task, (0.0, 0.0)) for name in changes), strict=True)
        hue = palette.hue(task, tasks)
        axes.barh(places, means, height=0.7, color=hue.edge, edgecolor=hue.line, linewidth=0.6)
        axes.errorbar(means, places, xerr=deviations, fmt="none", ecolor=palette.INK, elinewidth=0.7, capsize=1.6)
        axes.set(ylim=(len(changes) - 0.5, -0.5))
        axes.set_yticks(list(places), list(changes) if number == 0 else [""] * len(changes), fontsize=WORDS)
        axes.grid(axis="y", visible=False)
        axes.axvline(0, color=palette.MUTED, linewidth=0.6)
        axes.locator_params(axis="x", nbins=4)
        axes.set_title(f"{task}: {metrics[task]}", fontsize=TITLE, color=hue.text, pad=4, parse_math=False)
    page.add_words(figure, width - EDGE, EDGE + HEADER + height + 0.25, caption, SMALL, ha="right")
    return figure


def ordered(changes: Mapping[str, Mapping[str, tuple[float, float]]]) -> Sequence[str]:
    """The inputs, those with the largest change of any task first."""
    return sorted(changes, key=lambda name: -max((mean for mean, _ in changes[name].values()), default=0.0))
