"""The weights of gates as bars with whiskers: figure 7 of the PLE paper (Tang et al., RecSys 2020, section 5.3)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from typing import TYPE_CHECKING, Final

from archspec import palette
from archspec.charts import page
from archspec.charts.page import EDGE, SMALL, TITLE, WORDS, width_of
from archspec.program.nodes import NodeName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from archspec.train.gates import GateStatistics

# Inches.
BAR, WIDEST, NARROWEST = 0.2, 0.36, 0.14  # from bar to bar: usually, at most (for a group's long name), for many bars
BOLD: Final = 1.2  # width of bold letters relative to light ones
MANY: Final = 24  # bars are narrow if a gate has more experts than this
ROUNDING: Final = 0.005  # weights that add up to 1 do so within this
HEIGHT, NARROW = 1.2, 0.6  # height of a panel, and its smallest width
LEFT, GAP, HEADER, FOOT = 0.46, 0.22, 0.2, 0.1
SPACE: Final = 0.06  # between the name of a gate and its kind
INDEX, RULE = 0.05, 0.17  # from the panel down to the experts' numbers, and to the rule below them


@dataclass(frozen=True)
class Group:
    """Adjacent experts of one group: the position of the first, and their numbers."""

    name: str
    start: int
    numbers: tuple[str, ...]

    @property
    def places(self) -> range:
        """The positions of its experts in the gate's order."""
        return range(self.start, self.start + len(self.numbers))


@dataclass(frozen=True)
class Panel:
    """A gate: its name, its level (empty if it has none), and the groups it sees."""

    gate: GateStatistics
    name: str
    level: str
    groups: tuple[Group, ...]

    def width(self, step: float) -> float:
        """The width in inches, with bars `step` inches apart."""
        title = width_of(self.name, TITLE) * BOLD + (SPACE + width_of(self.gate.kind, WORDS) if self.gate.kind else 0)
        return max(len(self.gate.experts) * step + 0.1, title, NARROW)

    @property
    def equal(self) -> float | None:
        """The weight of each expert if all were equal, 1/n; None for a gate whose weights do not add up to 1."""
        count = len(self.gate.experts)
        return 1 / count if count > 1 and abs(sum(self.gate.means) - 1) < ROUNDING else None

    def ends(self) -> list[float]:
        """The ends of all whiskers, without NaN."""
        pairs = list(zip(self.gate.means, self.gate.deviations, strict=True))
        ends = [mean + side * deviation for mean, deviation in pairs for side in (-1, 1)]
        return [end for end in ends if isfinite(end)]


@dataclass(frozen=True)
class Line:
    """Panels side by side, `step` inches from bar to bar; `title` is the level's name."""

    panels: tuple[Panel, ...]
    step: float
    limits: tuple[float, float]
    title: str

    def width(self) -> float:
        """The width in inches, from the edge of the page to the end of the last panel."""
        return EDGE + LEFT + sum(panel.width(self.step) + GAP for panel in self.panels)

    @property
    def groups(self) -> list[Group]:
        """The groups of all panels."""
        return [group for panel in self.panels for group in panel.groups]

    @property
    def upright(self) -> bool:
        """Whether the names of groups are rotated, because some would overlap."""
        return any(width_of(group.name, WORDS) > len(group.numbers) * self.step - 0.04 for group in self.groups)

    @property
    def numbered(self) -> bool:
        """Whether experts are numbered, which a group of one does not need."""
        return any(len(group.numbers) > 1 for group in self.groups)

    def height(self) -> float:
        """The height in inches, with the names above and below the panels."""
        names = max(width_of(group.name, WORDS) for group in self.groups) if self.upright else WORDS / 72
        return HEADER + HEIGHT + (RULE if self.numbered else 0) + names + 0.2


def gate_bars(statistics: Sequence[GateStatistics], *, tasks: Sequence[str] | None = None) -> Figure:
    """Draws the mean weight of every expert in every gate, with whiskers of one standard deviation to both sides.

    There is a panel per gate, with the gate's kind, a line of panels per level (several if they do not fit), and one
    scale for all. Experts are in the gate's order, in the hue of the task that their group is named after, or else
    grey. A dotted line is at 1/n, the weight of each of n experts if all were equal, if a gate's weights add up to 1.

    Args:
        statistics: what `archspec.gate_statistics` returns.
        tasks: the model's tasks in the order of its spec, which determines their hues; by default, the gates of the
            last level.

    Raises:
        ValueError: there is no gate.
        SpecError: AS601 without matplotlib.
    """
    if not statistics:
        raise ValueError("no gate to draw: the model has none")
    page.need_matplotlib()
    panels = [_panel(gate) for gate in statistics]
    if tasks is None:
        tasks = [panel.name for panel in panels if panel.level == panels[-1].level]
    lines = list(_lines(panels))
    caption = f"bars: mean weight over {statistics[0].rows:,} rows; whiskers: one standard deviation"
    if any(panel.equal for panel in panels):
        caption += "; dotted: 1/n"
    width = max([width_of(caption, SMALL) + 2 * EDGE, *(line.width() for line in lines)])
    figure = page.new_page(width, 2 * EDGE + sum(line.height() for line in lines) + FOOT)
    top = EDGE
    for line in lines:
        _draw(figure, top, line, tasks)
        top += line.height()
    page.add_words(figure, width - EDGE, top, caption, SMALL, ha="right")
    return figure


def _panel(gate: GateStatistics) -> Panel:
    place = NodeName.parse(gate.gate) or NodeName(name=gate.gate)
    experts = [NodeName.parse(expert) or NodeName(name=expert) for expert in gate.experts]
    groups: list[Group] = []
    for group, members in groupby(experts, lambda expert: expert.name):
        start = groups[-1].places.stop if groups else 0
        numbers = tuple(member.name if member.number is None else str(member.number) for member in members)
        groups.append(Group(group, start, numbers))
    return Panel(gate, place.name, f"level {place.level}" if place.level else "", tuple(groups))


def _lines(panels: Sequence[Panel]) -> Iterator[Line]:
    """The panels of each level in lines, as many as fit on a printed page, but at least one."""
    step, limits = _step(panels), _limits(panels)
    for level, gates in groupby(panels, lambda panel: panel.level):
        members = tuple(gates)
        line = Line((), step, limits, level)
        for panel in members:
            longer = Line((*line.panels, panel), step, limits, line.title)
            if line.panels and longer.width() > page.LINE:
                yield line
                longer = Line((panel,), step, limits, "")
            line = longer
        yield line


def _step(panels: Sequence[Panel]) -> float:
    """Inches from one bar to the next, the same in the whole figure."""
    if max(len(panel.gate.experts) for panel in panels) > MANY:
        return NARROWEST
    groups = [group for panel in panels for group in panel.groups]
    wanted = max((width_of(group.name, WORDS) + 0.08) / len(group.numbers) for group in groups)
    return max(BAR, wanted) if wanted <= WIDEST else BAR


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """The limits of the scale: 0 and the ends of all whiskers, with a margin."""
    ends = [0.0, *(end for panel in panels for end in panel.ends())]
    low, high = min(ends), max(ends)
    room = 0.04 * (high - low) or 1.0
    return low - room if low < 0 else low, high + room if high > 0 or low == 0 else high


def _draw(figure: Figure, top: float, line: Line, tasks: Sequence[str]) -> None:
    """Draws a line of panels; the first has the numbers of the scale."""
    page.add_words(figure, EDGE, top, line.title)
    left = EDGE + LEFT
    for panel in line.panels:
        width, first = panel.width(line.step), panel is line.panels[0]
        axes = page.add_panel(figure, left, top + HEADER, width, HEIGHT)
        middle, half = (len(panel.gate.experts) - 1) / 2, width / line.step / 2
        axes.set(xlim=(middle - half, middle + half), ylim=line.limits, xticks=[])
        axes.locator_params(axis="y", nbins=5)
        axes.tick_params(left=first, labelleft=first)
        axes.axhline(0, color=palette.MUTED, linewidth=0.6)
        colour = palette.hue(panel.name, tasks).text
        _name_gate(axes, panel, colour, width)
        if panel.equal is not None:
            axes.axhline(panel.equal, color=palette.MUTED, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=2.5)
        if first:
            axes.set_ylabel("weight", fontsize=SMALL, color=palette.INK, labelpad=2)
        for group in panel.groups:
            hue = palette.hue(group.name, tasks)
            _draw_group(axes, panel.gate, group, hue)
            _name_group(axes, group, hue.text, line)
        left += width + GAP


def _name_gate(axes: Axes, panel: Panel, colour: str, width: float) -> None:
    """Writes the gate's name and its kind above the panel; together they are centred."""
    kind = width_of(panel.gate.kind, WORDS) + SPACE if panel.gate.kind else 0
    end = 0.5 + (width_of(panel.name, TITLE) * BOLD - kind) / 2 / width
    axes.set_title(panel.name, fontsize=TITLE, color=colour, pad=4, parse_math=False, weight="bold")
    if kind:
        axes.title.set(x=end, ha="right")
        above = (end + SPACE / width, 1 + 4 / 72 / HEIGHT)
        text = axes.text(*above, panel.gate.kind, transform=axes.transAxes, fontsize=WORDS, color=palette.MUTED)
        text.set(va="baseline", parse_math=False)


def _draw_group(axes: Axes, gate: GateStatistics, group: Group, hue: palette.Hue) -> None:
    """Draws bars and whiskers; writes `nan` for a weight that is not a number."""
    drawn = [place for place in group.places if isfinite(gate.means[place] + gate.deviations[place])]
    for place in set(group.places) - set(drawn):
        axes.text(place, 0, " nan", fontsize=SMALL, color=palette.INK, rotation=90, ha="center", va="bottom")
    means, deviations = ([values[place] for place in drawn] for values in (gate.means, gate.deviations))
    axes.bar(drawn, means, width=0.7, color=hue.edge, edgecolor=hue.line, linewidth=0.6)
    axes.errorbar(drawn, means, deviations, fmt="none", ecolor=palette.INK, elinewidth=0.7, capsize=1.6, capthick=0.7)


def _name_group(axes: Axes, group: Group, colour: str, line: Line) -> None:
    """Writes the numbers of a group's experts, a rule, and its name, rotated if names are too long."""
    below = axes.get_xaxis_transform()  # x in experts, y as a fraction of the panel's height
    depth, middle = INDEX, (group.places[0] + group.places[-1]) / 2

    def write(across: float, down: float, words: str, size: float, rotation: float = 0) -> None:
        text = axes.text(across, -down / HEIGHT, words, transform=below, parse_math=False)
        text.set(fontsize=size, rotation=rotation, color=colour, ha="center", va="top")

    if line.numbered:
        for place, number in zip(group.places, group.numbers, strict=True):
            write(place, INDEX, number, SMALL)
        ends, depth = (group.places[0] - 0.35, group.places[-1] + 0.35), RULE + 0.04
        axes.plot(ends, (-RULE / HEIGHT,) * 2, transform=below, color=colour, linewidth=0.6, clip_on=False)
    write(middle, depth, group.name, WORDS, 90 if line.upright else 0)
