"""The grid as a figure: how many times faster than the best other library."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.contenders import ARCHSPEC, PLAIN
from benchmarks.grid import INFER, TRAIN, Cell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

_COLOURS = {ARCHSPEC: "#1f6f8b", PLAIN: "#b8c4c9"}
_BEST = "#8a8a8a"


def draw(cells: Sequence[Cell], file: Path) -> None:
    """Writes the figure as SVG and as PNG; the extension of `file` is replaced."""
    mpl.use("Agg")
    mpl.rcParams.update(
        {"font.size": 9, "svg.hashsalt": "archspec", "axes.spines.top": False, "axes.spines.right": False}
    )
    figure, axes = plt.subplots(2, 1, figsize=(8, 5.6), sharex=True, layout="constrained")
    for axis, mode in zip(axes, (INFER, TRAIN), strict=True):
        _panel(axis, [cell for cell in cells if cell.mode == mode])
        axis.set_title({INFER: "inference", TRAIN: "forward and backward"}[mode], loc="left")
    figure.legend(*axes[0].get_legend_handles_labels(), frameon=False, ncols=3, loc="outside upper right")
    figure.supylabel("times faster than the best other library", fontsize=9)
    figure.savefig(file.with_suffix(".svg"), metadata={"Date": None})
    figure.savefig(file.with_suffix(".png"), dpi=160)
    plt.close(figure)


def _panel(axis: Axes, cells: Sequence[Cell]) -> None:
    width = 0.38
    for place, name in enumerate((PLAIN, ARCHSPEC)):
        positions = [index + (place - 0.5) * width for index in range(len(cells))]
        ratios = [cell.ratio(name) for cell in cells]
        bars = axis.bar(positions, ratios, width, color=_COLOURS[name], label=name)
        axis.bar_label(bars, fmt="%.1f", fontsize=7, padding=1)
    axis.axhline(1, color=_BEST, linewidth=1, linestyle="--", label="best other library")
    axis.set_xticks(range(len(cells)), [f"{cell.size.tasks} tasks\nB {cell.rows}" for cell in cells])
    axis.margins(y=0.15)
