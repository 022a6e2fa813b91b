"""Charts: what they show for given numbers, and how they are written to files."""

from __future__ import annotations

import struct
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from typing import TYPE_CHECKING

import pytest
from matplotlib.collections import LineCollection
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from archspec.charts import gate_bars, learning_curves, write_figure
from archspec.charts.page import add_words, new_page, width_of
from archspec.diagnostics import SpecError
from archspec.palette import hue
from archspec.train.gates import GateStatistics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

SVG = "{http://www.w3.org/2000/svg}"
TASKS = ("vtr", "vcr")


def gate(name: str, experts: Sequence[str], means: Sequence[float] = (), deviation: float = 0.1) -> GateStatistics:
    """Statistics of a gate `level.name` that sees experts `group.number` of its level."""
    level, _, own = name.partition(".")
    seen = tuple(f"{level}.experts.{expert}" for expert in experts)
    weights = tuple(means) or (1 / len(seen),) * len(seen)
    return GateStatistics(f"{level}.gates.{own}", seen, weights, (deviation,) * len(seen), 1000, "softmax")


def group(name: str, count: int) -> list[str]:
    """The experts of one group."""
    return [f"{name}.{number}" for number in range(count)]


PLE = (
    gate("level1.vtr", [*group("vtr", 2), *group("shared", 3)]),
    gate("level1.vcr", [*group("vcr", 2), *group("shared", 3)]),
    gate("level1.shared", [*group("vtr", 2), *group("vcr", 2), *group("shared", 3)]),
    gate("level2.vtr", [*group("vtr", 2), *group("shared", 3)], [0.5, 0.2, 0.1, 0.1, 0.1]),
    gate("level2.vcr", [*group("vcr", 2), *group("shared", 3)]),
)
LONG = tuple(
    gate(f"level1.{name}", [f"{word}_{number}.0" for word in ("at_home", "of_search") for number in range(3)])
    for name in ("never_married", "income_over_50_000", "x", "watch_time_of_shorts")
)
WIDE = (gate("level1.vtr", group("shared", 64)), gate("level1.vcr", [f"expert_{number}.0" for number in range(64)]))
HISTORY = {
    "train/loss": [(step, 1 / step) for step in range(1, 100)],
    "validation/vtr/auc": [(50, 0.7), (100, 0.8)],
    "validation/vcr/loss": [(50, 0.5), (100, float("nan"))],
    "train/vcr/loss": [(50, 0.4), (100, 0.3)],
    "validation/gates/level1.gates.vtr/level1.experts.vtr.0": [(50, 0.4)],
    "learning rate": [(1, 0.1)],
    "test/vtr/auc": [],
}


def heights(axes: Axes) -> list[float]:
    """The heights of a panel's bars."""
    return [bar.get_height() for bar in bars(axes)]


def bars(axes: Axes) -> list[Rectangle]:
    """A panel's bars, from left to right."""
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def words(figure: Figure) -> dict[Text, Bbox]:
    """All words that are drawn, and their positions; numbers outside the limits of a scale are not included."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call] # matplotlib leaves it untyped
    unseen = set()
    for axes in figure.axes:
        for axis, place in ((axes.xaxis, 0), (axes.yaxis, 1)):
            low, high = axis.get_view_interval()
            labels = axis.get_ticklabels()
            unseen |= {label for label in labels if not low <= label.get_position()[place] <= high}
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist not in unseen)
    texts = [text for text in found if isinstance(text, Text) and text.get_text() and text.get_visible()]
    return {text: text.get_window_extent().padded(-0.5) for text in texts}


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of words that overlap, and words that leave the page."""
    boxes = [(text.get_text(), box) for text, box in words(figure).items()]
    edge = figure.bbox
    out = [(name, "edge") for name, box in boxes if min(box.x0, box.y0) < 0 or box.x1 > edge.x1 or box.y1 > edge.y1]
    return out + [(one, two) for (one, a), (two, b) in combinations(boxes, 2) if a.overlaps(b)]


def test_every_expert_of_every_gate_has_a_bar_of_its_mean() -> None:
    """There is one panel per gate, bars are in the order of its experts, whiskers are one deviation each way."""
    figure = gate_bars(PLE, tasks=TASKS)
    assert [axes.get_title() for axes in figure.axes] == ["vtr", "vcr", "shared", "vtr", "vcr"]
    assert heights(figure.axes[3]) == [0.5, 0.2, 0.1, 0.1, 0.1]
    whiskers = [lines for lines in figure.axes[3].collections if isinstance(lines, LineCollection)]
    ends = [tuple(segment[:, 1]) for lines in whiskers for segment in lines.get_segments()]
    assert ends[:3] == [pytest.approx((mean - 0.1, mean + 0.1)) for mean in (0.5, 0.2, 0.1)]


def test_hues_are_those_of_the_model_s_figure() -> None:
    """Bars have the hue of the task that names their group, else grey; by default the last gates name the tasks."""
    for figure in (gate_bars(PLE, tasks=TASKS), gate_bars(PLE)):
        edges = [bar.get_edgecolor() for bar in bars(figure.axes[2])]
        owners = ("vtr", "vtr", "vcr", "vcr", None, None, None)
        expected = [tuple(int(hue(owner, TASKS).line[i : i + 2], 16) / 255 for i in (1, 3, 5)) for owner in owners]
        assert [edge[:3] for edge in edges] == [pytest.approx(colour) for colour in expected]


@pytest.mark.parametrize("statistics", [PLE, LONG, WIDE, PLE[:1]], ids=["ple", "long names", "64 experts", "one gate"])
def test_no_words_lie_on_others_or_leave_the_page(statistics: tuple[GateStatistics, ...]) -> None:
    """Names short or long, few experts or 64, one group or one per expert: every word is readable."""
    assert overlaps(gate_bars(statistics)) == []


def test_weights_need_not_sum_to_one() -> None:
    """Sums above one and negative weights stay inside their panel; without negative weights it starts at zero."""
    free = gate("level1.vtr", group("shared", 3), [-0.8, 2.5, 0.0], deviation=0.5)
    low, high = gate_bars([free]).axes[0].get_ylim()
    assert low < -1.3
    assert high > 3.0
    assert gate_bars([gate("level1.vtr", group("shared", 2))]).axes[0].get_ylim()[0] == 0


def test_all_gates_share_a_scale() -> None:
    """Bars of all levels can be compared by eye."""
    limits = {tuple(map(float, axes.get_ylim())) for axes in gate_bars(PLE).axes}
    assert len(limits) == 1


def level_lines(axes: Axes) -> list[float]:
    """The heights of the dotted lines across a panel."""
    dotted = [line for line in axes.lines if line.is_dashed()]
    return [float(line.get_ydata()[0]) for line in dotted]  # type: ignore[arg-type, index] # matplotlib's ArrayLike


def test_a_line_marks_equal_weights() -> None:
    """The line is at 1/n for n experts; it is absent if weights do not sum to 1, or for a single expert."""
    figure = gate_bars(PLE)
    assert [level_lines(axes) for axes in figure.axes] == [[1 / 5], [1 / 5], [1 / 7], [1 / 5], [1 / 5]]
    assert "dotted: 1/n" in " ".join(text.get_text() for text in words(figure))
    free = gate_bars([gate("level1.vtr", group("shared", 3), [0.9, 0.8, 0.7]), gate("level1.vcr", ["shared.0"])])
    assert [level_lines(axes) for axes in free.axes] == [[], []]
    assert "1/n" not in " ".join(text.get_text() for text in words(free))


def test_the_kind_of_a_gate_is_named() -> None:
    """The kind follows the gate's name; a gate of unknown kind has only its name."""
    assert [text.get_text() for text in words(gate_bars(PLE))].count("softmax") == len(PLE)
    unknown = GateStatistics("level1.gates.vtr", ("level1.experts.a.0",), (1.0,), (0.0,), 1)
    assert "softmax" not in {text.get_text() for text in words(gate_bars([unknown]))}


def test_weights_that_are_no_numbers_are_named() -> None:
    """For a diverged model, bars without a number show `nan`, and the others are to scale."""
    figure = gate_bars([gate("level1.vtr", group("shared", 2), [float("nan"), 0.5])])
    assert [text.get_text().strip() for text in words(figure)].count("nan") == 1
    assert heights(figure.axes[0]) == [0.5]


def test_gates_of_no_level_and_static_ones_are_drawn() -> None:
    """Names that are no paths are shown unchanged; a weight without deviation has a whisker of zero length."""
    figure = gate_bars([GateStatistics("mix", ("left", "right"), (0.0, 0.0), (0.0, 0.0), 1)])
    assert {"mix", "left", "right"} <= {text.get_text() for text in words(figure)}


def test_nothing_to_draw_is_an_error() -> None:
    """A model without gates, and a history without a known series, are refused with a message."""
    with pytest.raises(ValueError, match="no gate to draw"):
        gate_bars([])
    with pytest.raises(ValueError, match="no curve to draw"):
        learning_curves({"loss": [(1, 1.0)], "train/loss": []})


def test_curves_have_a_line_of_panels_per_task() -> None:
    """Panels common to all tasks come first, then each task's in order, losses first; other series are omitted."""
    figure = learning_curves(HISTORY, tasks=("vcr", "vtr"))
    found = [(axes.get_title(), len(axes.lines), axes.lines[0].get_color()) for axes in figure.axes]
    grey, vcr, vtr = (hue(task, ("vcr", "vtr")) for task in (None, "vcr", "vtr"))
    assert found == [("loss", 1, grey.edge), ("loss", 2, vcr.line), ("auc", 1, vtr.line)]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == figure.axes[2].get_xlim()
    assert overlaps(figure) == []


def test_no_panel_is_drawn_twice() -> None:
    """A quantity with the same curves as another panel is only named there: log loss and loss, the only task's loss."""
    curve, other = [(50, 0.5), (100, 0.4)], [(50, 0.5), (100, 0.3)]
    one = {"train/loss": other, "validation/loss": curve, "train/vtr/loss": other, "validation/vtr/loss": curve,
           "validation/vtr/log_loss": [(50, 0.5), (100, 0.4000001)], "validation/vtr/auc": other}  # fmt: skip
    assert [axes.get_title() for axes in learning_curves(one).axes] == ["loss, log loss", "auc"]
    two = one | {"validation/vcr/loss": other, "validation/vcr/log_loss": curve}
    assert [axes.get_title() for axes in learning_curves(two).axes] == [
        "loss", "loss, log loss", "auc", "loss", "log loss",
    ]  # fmt: skip


def test_the_best_epoch_is_marked() -> None:
    """Every panel has a line, explained in the legend; without a best epoch there are only curves."""
    figure = learning_curves(HISTORY, tasks=("vcr", "vtr"), best=(100, "best epoch: 2"))
    assert [float(axes.lines[-1].get_xdata()[0]) for axes in figure.axes] == [100.0] * 3  # type: ignore[arg-type, index] # matplotlib's ArrayLike
    assert "best epoch: 2" in {text.get_text() for text in words(figure)}
    assert overlaps(figure) == []


def test_one_point_is_a_curve() -> None:
    """A single epoch is drawn as a dot, on a scale of whole epochs."""
    axes = learning_curves({"validation/vtr/auc": [(1, 0.7)]}, clock="epoch").axes[0]
    assert axes.lines[0].get_marker() == "."
    assert axes.get_xlabel() == "epoch"
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


@pytest.mark.parametrize("name", ["bars.svg", "bars.PNG"])
def test_the_same_numbers_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    """Two figures of the same numbers give the same file, whatever was drawn before."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_figure(gate_bars(PLE), tmp_path / folder / name)
        learning_curves(HISTORY)
    one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
    assert one == two
    assert b"Matplotlib v" not in one, "a release"


def test_svg_holds_words_as_words(tmp_path: Path) -> None:
    """Names are unchanged text in the SVG: neither markup nor formulas, and nothing is lost."""
    odd = "<b>&$x_1$"
    statistics = GateStatistics(odd, (odd, "b"), (0.5, 0.5), (0.1, 0.1), 1000, "softmax")
    write_figure(gate_bars([statistics]), tmp_path / "a.svg")
    root = ET.fromstring((tmp_path / "a.svg").read_text(encoding="utf-8"))  # noqa: S314 written by the test
    found = [text.text for text in root.iter(f"{SVG}text")]
    assert found.count(odd) == 2
    assert "bars: mean weight over 1,000 rows; whiskers: one standard deviation; dotted: 1/n" in found


def test_png_is_sharp_enough_to_print(tmp_path: Path) -> None:
    """PNG files have 200 dots per inch."""
    figure = new_page(3, 2)
    add_words(figure, 0.1, 0.1, "a")
    write_figure(figure, tmp_path / "a.png")
    assert struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24]) == (600, 400)


def test_an_unknown_ending_lists_the_known(tmp_path: Path) -> None:
    """Another extension is refused as by `archspec render`, and nothing is written."""
    with pytest.raises(SpecError, match=r"\.svg, \.png") as problem:
        write_figure(new_page(1, 1), tmp_path / "a.jpg")
    assert problem.value.diagnostics[0].code == "AS604"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("draw", [lambda: gate_bars(PLE), lambda: learning_curves(HISTORY)], ids=["bars", "curves"])
def test_without_matplotlib_the_extra_is_named(draw: Callable[[], Figure], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without matplotlib the error says what to install, from the index and from a checkout."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        SpecError, match=r"pip install 'archspec-mtl\[train\]'.*pip install -e '\.\[train\]'"
    ) as problem:
        draw()
    assert problem.value.diagnostics[0].code == "AS601"


def test_words_are_measured_in_inches() -> None:
    """The width grows with the text and its size; blanks alone have none."""
    assert width_of("  ", 7) == 0
    assert width_of("engagement", 14) == pytest.approx(2 * width_of("engagement", 7), rel=0.05)
    assert 0.4 < width_of("engagement", 7) < 0.8
